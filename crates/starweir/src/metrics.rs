//! The metrics endpoint of a running job.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::Router;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use parking_lot::Mutex;
use starweir_engine::JobStatus;
use starweir_model::{Error, Result};
use tokio::task::JoinHandle;

/// The job that is shown; none between two jobs of a script.
pub type Shown = Arc<Mutex<Option<Arc<JobStatus>>>>;

/// Serves `/metrics` and `/health` until the handle is aborted.
pub async fn serve(address: SocketAddr, shown: Shown) -> Result<(SocketAddr, JoinHandle<()>)> {
    let listener = tokio::net::TcpListener::bind(address)
        .await
        .map_err(|e| Error::user(format!("--metrics {address}: the address cannot be used")).with_source(e))?;
    let bound = listener.local_addr().unwrap_or(address);
    let metrics = shown.clone();
    let app = Router::new()
        .route(
            "/metrics",
            get(async move || {
                let status = metrics.lock().clone();
                let text = status.map(|s| starweir_engine::metrics::render(&s, true)).unwrap_or_default();
                ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], text)
            }),
        )
        .route(
            "/health",
            get(async move || {
                let status = shown.lock().clone();
                match status {
                    Some(s) if s.running.load(Ordering::Relaxed) => (StatusCode::OK, "running\n").into_response(),
                    _ => (StatusCode::SERVICE_UNAVAILABLE, "starting\n").into_response(),
                }
            }),
        );
    let task = tokio::spawn(async move {
        if let Err(error) = axum::serve(listener, app).await {
            tracing::warn!("the metrics endpoint ended: {error}");
        }
    });
    Ok((bound, task))
}
