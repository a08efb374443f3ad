//! Against a collector that listens, and one that does not.

use super::super::{TRACES_FLUSH_TIMEOUT, Telemetry};
use super::*;
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::convert::Infallible;
use std::time::Instant;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tracing_subscriber::layer::SubscriberExt;

fn to(address: String) -> Tracing {
    Tracing { address, service_name: "quorate-test".into(), instance_id: "m1".into(), sampling_ratio: 1.0 }
}

/// Takes calls and hands over their paths and bodies.
async fn collector() -> (String, mpsc::Receiver<(String, Bytes)>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (heard, calls) = mpsc::channel(8);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let heard = heard.clone();
            let service = hyper::service::service_fn(move |request: hyper::Request<Incoming>| {
                let heard = heard.clone();
                async move {
                    let path = request.uri().path().to_owned();
                    let body = request.into_body().collect().await.unwrap().to_bytes();
                    heard.send((path, body)).await.unwrap();
                    let empty = Full::new(Bytes::from_static(&[0; 5]));
                    let reply = hyper::Response::builder()
                        .header("content-type", "application/grpc")
                        .header("grpc-status", "0");
                    Ok::<_, Infallible>(reply.body(empty).unwrap())
                }
            });
            let connection = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
            tokio::spawn(connection.serve_connection(TokioIo::new(stream), service));
        }
    });
    (address, calls)
}

fn trace_something(provider: &SdkTracerProvider) {
    let subscriber = tracing_subscriber::registry().with(layer(provider));
    tracing::subscriber::with_default(subscriber, || tracing::info_span!("propose", term = 7).in_scope(|| {}));
}

#[tokio::test]
async fn a_span_reaches_the_collector_with_its_service() {
    let (address, mut calls) = collector().await;
    let provider = provider(&to(address)).unwrap();
    trace_something(&provider);
    Telemetry { provider: Some(provider) }.shutdown().await;
    let (path, body) = calls.try_recv().unwrap();
    assert_eq!(path, "/opentelemetry.proto.collector.trace.v1.TraceService/Export");
    for text in ["propose", "quorate-test", "service.instance.id"] {
        assert!(body.windows(text.len()).any(|part| part == text.as_bytes()), "{text}");
    }
}

#[tokio::test]
async fn a_collector_that_is_gone_does_not_hold_up_the_end() {
    let provider = provider(&to("127.0.0.1:1".into())).unwrap();
    trace_something(&provider);
    let began = Instant::now();
    Telemetry { provider: Some(provider) }.shutdown().await;
    assert!(began.elapsed() < TRACES_FLUSH_TIMEOUT + TRACES_FLUSH_TIMEOUT / 2, "{:?}", began.elapsed());
}
