//! What those who run the server, and the machines that watch it, are served: on a listener of its own, which answers however
//! full the other one is. Who reaches the port may look; who wants to change anything needs an admin token ([`crate::admin`]).

use super::pages::typed;
use super::problem::Problem;
use super::{HttpMetrics, Readiness, finish, headers};
use crate::admin::{self, Admin};
use crate::crowd::Bounds;
use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::get;
use hudhud_ports::Runtime;
use hudhud_roles::gateway::Gateway;
use prometheus_client::registry::Registry;
use std::sync::Arc;

const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
/// Connections of operators; the oldest makes room for the next.
pub const CONNECTIONS: Bounds =
    Bounds { all: 64, per_address: 64, per_account: 0, strangers: 64, strangers_per_address: 64 };

/// What the handlers share.
pub struct Operators {
    /// Whether requests are wanted.
    pub readiness: Arc<Readiness>,
    /// Which must take connections in, too, where there is one.
    pub gateway: Option<Arc<Gateway>>,
    /// What is counted; none where `GET /metrics` is off.
    pub registry: Option<Registry>,
    /// What operators do.
    pub admin: Arc<Admin>,
    /// Time and randomness.
    pub runtime: Runtime,
}

/// Everything that operators are served.
pub fn router(operators: Arc<Operators>) -> Router {
    // What is asked here is counted nowhere: the metrics are about the people who chat.
    let seen = headers::Seen { runtime: operators.runtime.clone(), metrics: HttpMetrics::unregistered() };
    let router = Router::new()
        .route("/healthz", get(|| async { "alive\n" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .merge(admin::router(operators.admin.clone()));
    finish(
        router,
        operators,
        seen,
        "operators are served /healthz, /readyz, /metrics and what /admin/openapi.json lists here",
    )
}

async fn ready(State(operators): State<Arc<Operators>>) -> Result<&'static str, Problem> {
    match operators.readiness.refusal().or_else(|| closed(operators.gateway.as_deref())) {
        None => Ok("ready\n"),
        Some(why) => Err(Problem::unavailable(why, 1_000)),
    }
}

/// Why a gateway takes nobody in. A balancer would send it everybody, as nobody stays.
pub fn closed(gateway: Option<&Gateway>) -> Option<&'static str> {
    gateway.filter(|gateway| !gateway.is_open()).map(|_| "the gateway has no lease, or another process took its name")
}

async fn metrics(State(operators): State<Arc<Operators>>) -> Result<Response, Problem> {
    let registry = operators.registry.as_ref().ok_or_else(|| Problem::not_found("metrics are turned off"))?;
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, registry).expect("a string takes everything");
    Ok(typed(text, OPENMETRICS))
}
