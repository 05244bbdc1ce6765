//! The end that is pushed to.

use super::codec::Codec;
use super::{
    ENGINE, KEEP_ALIVE_INTERVAL, KEEP_ALIVE_TIMEOUT, MESSAGE_BYTES_MAX, PUSH, SERVICE, Secret, WINDOW_BYTES, wire,
};
use futures_util::future::{BoxFuture, Shared};
use futures_util::stream::{self, BoxStream};
use futures_util::{FutureExt as _, Stream, StreamExt as _};
use hudhud_ports::{Delivery, Error, ErrorKind, GatewayInbox, GatewayRef, Result, Target};
use hudhud_proto::v1::{PushBatch, PushOutcome};
use std::collections::BTreeSet;
use std::convert::Infallible;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tonic::body::Body;
use tonic::codegen::{Service, http};
use tonic::server::{Grpc, NamedService, StreamingService};
use tonic::transport::Server;
use tonic::transport::server::Connected;
use tonic::{Code, Request, Response, Status, Streaming};

/// Streams of one connection: a process has one.
const STREAMS_MAX: u32 = 16;

/// Serves a gateway's inbox on connections as they come until `stop`, which ends what others have open too. Only calls with the
/// secret are served.
///
/// # Errors
/// When the stream of connections fails.
pub async fn serve<C: AsyncRead + AsyncWrite + Send + Unpin + 'static>(
    connections: impl Stream<Item = io::Result<C>> + Send + 'static,
    gateway: GatewayRef,
    inbox: Arc<dyn GatewayInbox>,
    secret: Secret,
    stop: impl Future<Output = ()> + Send + 'static,
) -> Result<()> {
    let stop = stop.boxed().shared();
    let served = Server::builder()
        .http2_keepalive_interval(Some(KEEP_ALIVE_INTERVAL))
        .http2_keepalive_timeout(Some(KEEP_ALIVE_TIMEOUT))
        .initial_stream_window_size(WINDOW_BYTES)
        .initial_connection_window_size(WINDOW_BYTES)
        .max_concurrent_streams(STREAMS_MAX)
        .add_service(Inbox { gateway, inbox, secret, stop: stop.clone() })
        .serve_with_incoming_shutdown(connections.map(|connection| connection.map(Connection)), stop);
    served.await.map_err(|error| Error::new(ErrorKind::Unavailable, ENGINE, "serve").because(error))
}

/// A connection, of which nothing more is to be known.
struct Connection<C>(C);

impl<C> Connected for Connection<C> {
    type ConnectInfo = ();

    fn connect_info(&self) {}
}

impl<C: AsyncRead + Unpin> AsyncRead for Connection<C> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, to: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, to)
    }
}

impl<C: AsyncWrite + Unpin> AsyncWrite for Connection<C> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, from: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, from)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        from: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write_vectored(cx, from)
    }

    fn is_write_vectored(&self) -> bool {
        self.0.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

/// The service, for one run of one gateway.
#[derive(Clone)]
struct Inbox {
    gateway: GatewayRef,
    inbox: Arc<dyn GatewayInbox>,
    secret: Secret,
    stop: Shared<BoxFuture<'static, ()>>,
}

impl NamedService for Inbox {
    const NAME: &'static str = SERVICE;
}

impl Service<http::Request<Body>> for Inbox {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, std::result::Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<std::result::Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let inbox = self.clone();
        async move {
            if request.uri().path() != PUSH {
                return Ok(Status::new(Code::Unimplemented, "there is no such method").into_http());
            }
            let codec = Codec::<PushOutcome, PushBatch>::default();
            let mut grpc = Grpc::new(codec).max_decoding_message_size(MESSAGE_BYTES_MAX);
            Ok(grpc.streaming(inbox, request).await)
        }
        .boxed()
    }
}

impl StreamingService<PushBatch> for Inbox {
    type Response = PushOutcome;
    type ResponseStream = BoxStream<'static, std::result::Result<PushOutcome, Status>>;
    type Future = BoxFuture<'static, std::result::Result<Response<Self::ResponseStream>, Status>>;

    fn call(&mut self, request: Request<Streaming<PushBatch>>) -> Self::Future {
        let inbox = self.clone();
        async move {
            if !inbox.secret.is_in(request.metadata()) {
                tracing::warn!(
                    "a push without the cluster's secret was refused: every process needs the same peers.secret"
                );
                return Err(Status::unauthenticated("the secret of this cluster is another one"));
            }
            // The next batch is read once the outcome of the one before is on its way: who does not read is not read.
            let outcomes = stream::unfold(Some(request.into_inner()), move |batches| {
                let inbox = inbox.clone();
                async move {
                    let mut batches: Streaming<PushBatch> = batches?;
                    let next = tokio::select! {
                        next = batches.message() => next,
                        () = inbox.stop.clone() => return None,
                    };
                    match next {
                        Ok(Some(batch)) => match inbox.deliver(batch) {
                            Ok(outcome) => Some((Ok(outcome), Some(batches))),
                            Err(status) => Some((Err(status), None)),
                        },
                        Ok(None) => None,
                        Err(status) => Some((Err(status), None)),
                    }
                }
            });
            Ok(Response::new(outcomes.boxed()))
        }
        .boxed()
    }
}

impl Inbox {
    fn deliver(&self, batch: PushBatch) -> std::result::Result<PushOutcome, Status> {
        let (meant, deliveries, unknown) =
            wire::decode(batch).map_err(|error| Status::invalid_argument(error.to_string()))?;
        let mut absent: BTreeSet<Target> = unknown.into_iter().collect();
        match meant == self.gateway {
            true => absent.extend(self.inbox.deliver(deliveries)),
            false => absent.extend(deliveries.iter().flat_map(|Delivery { targets, .. }| targets).copied()),
        }
        Ok(PushOutcome { absent: absent.iter().map(wire::target).collect() })
    }
}
