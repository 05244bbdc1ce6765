//! The writing side: one idempotent producer for all shards, which many appends share.

use super::client::{self, APPEND_TIMEOUT};
use super::failure::{of_delivery, of_enqueue, of_request};
use super::{ENGINE, Url};
use bytes::Bytes;
use hudhud_ports::{Error, ErrorKind, Result};
use hudhud_proto::Shard;
use parking_lot::Mutex;
use rdkafka::config::{FromClientConfigAndContext as _, RDKafkaLogLevel};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::message::{DeliveryResult, Message as _};
use rdkafka::producer::{BaseRecord, Producer as _, ProducerContext, ThreadedProducer};
use std::sync::Arc;
use tokio::sync::oneshot;

type Client = ThreadedProducer<Reports>;
type Report = Result<i64, Code>;

pub(super) struct Producer {
    url: Url,
    /// Takes the place of one that can't go on; none once it is closed.
    client: Mutex<Option<Arc<Client>>>,
}

impl Producer {
    pub(super) fn new(url: &Url) -> Result<Self> {
        Ok(Self { url: url.clone(), client: Mutex::new(Some(connect(url)?)) })
    }

    /// Appends one value; its offset once every copy that is in step has it.
    pub(super) async fn append(&self, shard: Shard, value: Bytes) -> Result<u64> {
        let (client, reported) = self.enqueue(shard, &value)?;
        let report = reported.await.unwrap_or(Err(Code::PurgeInflight));
        // Kept until here: what a producer has in hand when it is dropped fails.
        drop(client);
        match report {
            Ok(offset) => u64::try_from(offset).map_err(|_| of_delivery(Code::BadMessage)),
            Err(code) => Err(of_delivery(code)),
        }
    }

    fn enqueue(&self, shard: Shard, value: &Bytes) -> Result<(Arc<Client>, oneshot::Receiver<Report>)> {
        let partition = i32::try_from(shard.0).expect("shards are partitions");
        let mut client = self.current()?;
        let mut is_renewed = false;
        loop {
            let (report, reported) = oneshot::channel();
            let record = BaseRecord::<(), [u8], _>::with_opaque_to(&self.url.topic, Box::new(report));
            match client.send(record.partition(partition).payload(&value[..])) {
                Ok(()) => return Ok((client, reported)),
                // Nothing of this append was sent: another producer can take it.
                Err((KafkaError::MessageProduction(Code::Fatal), _)) if !is_renewed => {
                    client = self.renew(&client)?;
                    is_renewed = true;
                }
                Err((error, _)) => return Err(of_enqueue(error)),
            }
        }
    }

    fn current(&self) -> Result<Arc<Client>> {
        let closed = || Error::new(ErrorKind::Unavailable, ENGINE, "append").because("it was closed");
        self.client.lock().clone().ok_or_else(closed)
    }

    /// A producer that can't keep its promise of no doubles any more takes nothing; what it had in hand may be there.
    fn renew(&self, failed: &Arc<Client>) -> Result<Arc<Client>> {
        let mut client = self.client.lock();
        if let Some(newer) = client.as_ref().filter(|client| !Arc::ptr_eq(client, failed)) {
            return Ok(newer.clone());
        }
        tracing::warn!(why = ?failed.client().fatal_error(), "the producer can't go on: another one takes its place");
        Ok(client.insert(connect(&self.url)?).clone())
    }

    /// Takes no more, and waits for what is in hand. Blocks.
    pub(super) fn close(&self) {
        if let Some(client) = self.client.lock().take()
            && let Err(error) = client.flush(APPEND_TIMEOUT)
        {
            tracing::debug!(%error, "not everything was acknowledged in time");
        }
    }
}

fn connect(url: &Url) -> Result<Arc<Client>> {
    let client = Client::from_config_and_context(&client::producer(url), Reports);
    client.map(Arc::new).map_err(|error| of_request("open", error))
}

/// Tells each append what became of it.
struct Reports;

impl rdkafka::ClientContext for Reports {
    fn log(&self, level: RDKafkaLogLevel, what: &str, message: &str) {
        client::log(level, what, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, reason, "the producer reports an error");
    }
}

impl ProducerContext for Reports {
    type DeliveryOpaque = Box<oneshot::Sender<Report>>;

    fn delivery(&self, result: &DeliveryResult<'_>, report: Self::DeliveryOpaque) {
        let outcome = match result {
            Ok(message) => Ok(message.offset()),
            Err((error, _)) => Err(error.rdkafka_error_code().unwrap_or(Code::Fail)),
        };
        // An append that was dropped is not told.
        _ = report.send(outcome);
    }
}
