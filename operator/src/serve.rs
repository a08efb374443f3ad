//! Health and metrics over HTTP.

use crate::metrics::Metrics;
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

/// Whoever has not sent its request by then is not a kubelet and not Prometheus.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
/// A connection that does nothing useful is closed: there are never more than these at once.
const CONNECTIONS_MAX: usize = 32;
/// An error of accepting is about this process's own resources: it passes.
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);

/// Serves until it is told to stop.
///
/// # Errors
/// The address cannot be bound.
pub async fn serve(listener: TcpListener, metrics: Metrics, stop: CancellationToken) -> io::Result<()> {
    let room = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => return Ok(()),
            accepted = listener.accept() => accepted,
        };
        let Ok((stream, _)) = accepted else {
            tokio::time::sleep(ACCEPT_AGAIN).await;
            continue;
        };
        let Ok(place) = Arc::clone(&room).try_acquire_owned() else { continue };
        let metrics = metrics.clone();
        tokio::spawn(async move {
            let service = service_fn(|request| {
                let answer = answer(&request, &metrics);
                async move { Ok::<_, Infallible>(answer) }
            });
            let mut server = http1::Builder::new();
            server.timer(TokioTimer::new()).header_read_timeout(HEADER_TIMEOUT).keep_alive(false);
            // A peer that breaks off is its own affair.
            let _ = server.serve_connection(TokioIo::new(stream), service).await;
            drop(place);
        });
    }
}

fn answer(request: &Request<Incoming>, metrics: &Metrics) -> Response<Full<Bytes>> {
    let (status, body) = page(request.uri().path(), metrics);
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    response
}

fn page(path: &str, metrics: &Metrics) -> (StatusCode, Bytes) {
    match path {
        // Ready without the lease as well: whoever waits for it is as well as whoever has it.
        "/livez" | "/readyz" => (StatusCode::OK, "ok\n".into()),
        "/metrics" => match metrics.text() {
            Ok(text) => (StatusCode::OK, text.into()),
            Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string().into()),
        },
        _ => (StatusCode::NOT_FOUND, "not found\n".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_what_a_kubelet_and_prometheus_look_for() {
        let metrics = Metrics::new().expect("every name once");
        metrics.leading(true);
        metrics.reconciled(Duration::from_millis(20), Some("ApiServer"));
        assert_eq!(page("/livez", &metrics).0, StatusCode::OK);
        assert_eq!(page("/other", &metrics).0, StatusCode::NOT_FOUND);
        let (status, text) = page("/metrics", &metrics);
        let text = String::from_utf8(text.to_vec()).expect("text");
        assert_eq!(status, StatusCode::OK);
        assert!(text.contains("quorate_operator_leader 1"), "{text}");
        assert!(text.contains("quorate_operator_reconcile_failures_total{error=\"ApiServer\"} 1"), "{text}");
    }
}
