//! Gateways at ports of this machine, for tests.

use async_trait::async_trait;
use futures_util::stream;
use hudhud_engines::Addresses;
use hudhud_engines::grpc::{Remote, Secret, serve};
use hudhud_ports::{GatewayInbox, GatewayRef, Result};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// What all processes of a test know.
pub const SECRET: &str = "a-secret-that-every-process-of-a-test-has";

/// Where gateways are.
#[derive(Default)]
pub struct Peers {
    known: Mutex<BTreeMap<GatewayRef, String>>,
    running: Mutex<BTreeMap<GatewayRef, Running>>,
}

/// Dropping the sender stops a gateway, which then ends.
type Running = (oneshot::Sender<()>, JoinHandle<()>);

/// A secret from its text.
pub fn secret(text: &str) -> Secret {
    Secret::new(text).expect("long enough")
}

/// The way to them.
pub fn remote(peers: &Arc<Peers>) -> Remote {
    Remote::new(peers.clone(), secret(SECRET))
}

impl Peers {
    /// Serves this inbox at a free port.
    pub async fn add(&self, gateway: GatewayRef, inbox: Arc<dyn GatewayInbox>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound").to_string();
        let (stop, stopped) = oneshot::channel::<()>();
        let stopped = async move { _ = stopped.await };
        let reference = gateway.clone();
        let connections = stream::unfold(listener, |listener| async move {
            Some((listener.accept().await.map(|(connection, _)| connection), listener))
        });
        let serving =
            async move { serve(connections, reference, inbox, secret(SECRET), stopped).await.expect("served") };
        self.running.lock().insert(gateway.clone(), (stop, tokio::spawn(serving)));
        self.place(gateway, address);
    }

    /// Says that a gateway is at this address.
    pub fn place(&self, gateway: GatewayRef, address: String) {
        self.known.lock().insert(gateway, address);
    }

    /// Stops a gateway, and returns once it has ended; its address leads nowhere then.
    #[allow(dead_code, reason = "not every test stops one")]
    pub async fn stop(&self, gateway: &GatewayRef) {
        let running = self.running.lock().remove(gateway);
        let (stop, serving) = running.expect("it runs");
        drop(stop);
        serving.await.expect("it does not panic");
    }
}

#[async_trait]
impl Addresses for Peers {
    async fn of(&self, gateway: &GatewayRef) -> Result<Option<String>> {
        Ok(self.known.lock().get(gateway).cloned())
    }
}
