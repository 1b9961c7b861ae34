//! The operator's listener, apart from the traffic: metrics and health.
//!
//! It runs on the control plane and knows the workers only through the handles that it is given.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;
use tokio::time::sleep;

use crate::http::error_answer;
use crate::revocations::Revocations;
use crate::telemetry::Metrics;

/// Asks the workers to hand their counts over; ready when they have.
pub type Flush = Box<dyn Fn() -> Pin<Box<dyn Future<Output = ()> + Send>> + Send + Sync>;

/// What the listener shows, and what it may ask for.
pub struct Admin {
    /// All families.
    pub metrics: Arc<Metrics>,
    /// Called before each scrape, so that it is exact.
    pub flush: Flush,
    /// Whether the gateway takes traffic. Written at start and stop, read by `/readyz`.
    pub ready: Arc<AtomicBool>,
    /// Until they are loaded no request with a token is served.
    pub revocations: Arc<Revocations>,
}

impl Admin {
    /// What keeps traffic away, if anything does.
    fn obstacle(&self) -> Option<&'static str> {
        if !self.ready.load(Ordering::Relaxed) {
            Some("draining\n")
        } else if !self.revocations.is_loaded() {
            Some("revocations are not loaded\n")
        } else {
            None
        }
    }
}

impl std::fmt::Debug for Admin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Admin").field("ready", &self.ready).finish_non_exhaustive()
    }
}

/// Serves until the runtime ends.
pub async fn serve(listener: TcpListener, admin: Arc<Admin>, control: Handle) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                control.spawn(connection(stream, Arc::clone(&admin)));
            }
            Err(error) => {
                tracing::warn!("the admin listener can't accept a connection: {error}");
                sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

async fn connection(stream: TcpStream, admin: Arc<Admin>) {
    let service = service_fn(move |request: Request<Incoming>| {
        let admin = Arc::clone(&admin);
        async move {
            let answer = answer(&admin, request.method(), request.uri().path()).await;
            Ok::<_, Infallible>(answer.map(Full::new))
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(Duration::from_secs(30))
        .serve_connection(TokioIo::new(stream), service);
    // A scraper that hangs up concerns nobody else.
    let _ = connection.await;
}

async fn answer(admin: &Admin, method: &Method, path: &str) -> Response<Bytes> {
    let known = matches!(path, "/metrics" | "/healthz" | "/readyz");
    if !known {
        return error_answer(StatusCode::NOT_FOUND, "not_found", "Not found.");
    }
    if method != Method::GET && method != Method::HEAD {
        let mut refused =
            error_answer(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "Method not allowed.");
        refused.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return refused;
    }
    match path {
        "/metrics" => {
            (admin.flush)().await;
            admin.metrics.ready.set(i64::from(admin.obstacle().is_none()));
            text(StatusCode::OK, "text/plain; version=0.0.4", admin.metrics.exposition())
        }
        "/healthz" => text(StatusCode::OK, "text/plain", "ok\n".to_owned()),
        _ => match admin.obstacle() {
            None => text(StatusCode::OK, "text/plain", "ready\n".to_owned()),
            Some(why) => text(StatusCode::SERVICE_UNAVAILABLE, "text/plain", why.to_owned()),
        },
    }
}

fn text(status: StatusCode, content_type: &'static str, body: String) -> Response<Bytes> {
    let mut answer = Response::new(Bytes::from(body));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    answer.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admin(ready: bool) -> Admin {
        admin_with(ready, true)
    }

    fn admin_with(ready: bool, loaded: bool) -> Admin {
        Admin {
            metrics: Arc::new(Metrics::new()),
            flush: Box::new(|| Box::pin(async {})),
            ready: Arc::new(AtomicBool::new(ready)),
            revocations: Revocations::new(loaded),
        }
    }

    async fn status(ready: bool, method: Method, path: &str) -> u16 {
        answer(&admin(ready), &method, path).await.status().as_u16()
    }

    #[tokio::test]
    async fn readiness_ends_before_life() {
        assert_eq!(status(true, Method::GET, "/readyz").await, 200);
        assert_eq!(status(false, Method::GET, "/readyz").await, 503);
        assert_eq!(status(false, Method::GET, "/healthz").await, 200);
    }

    #[tokio::test]
    async fn nobody_is_sent_here_before_revocations_are_loaded() {
        let admin = admin_with(true, false);
        let readiness = answer(&admin, &Method::GET, "/readyz").await;
        assert_eq!(
            (readiness.status(), &readiness.body()[..]),
            (StatusCode::SERVICE_UNAVAILABLE, &b"revocations are not loaded\n"[..])
        );
        assert_eq!(answer(&admin, &Method::GET, "/healthz").await.status(), 200);
        let metrics = answer(&admin, &Method::GET, "/metrics").await;
        assert!(String::from_utf8_lossy(metrics.body()).contains("tollgate_ready 0"));
    }

    #[tokio::test]
    async fn other_paths_and_methods_are_refused() {
        assert_eq!(status(true, Method::GET, "/").await, 404);
        assert_eq!(status(true, Method::POST, "/metrics").await, 405);
        assert_eq!(status(true, Method::HEAD, "/metrics").await, 200);
    }

    #[tokio::test]
    async fn metrics_are_in_prometheus_text_format() {
        let shown = answer(&admin(true), &Method::GET, "/metrics").await;
        assert_eq!(shown.headers()[CONTENT_TYPE], "text/plain; version=0.0.4");
        assert!(shown.body().starts_with(b"# HELP tollgate_"));
    }
}
