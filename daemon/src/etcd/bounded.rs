//! Pages of plain HTTP within bounds: whoever asks for many and reads none makes the member hold them all.
//!
//! The ports of operations have bounds of their own. So whatever clients do, the member can still be asked how it is,
//! and whatever is asked of it there, clients have their calls.

use super::budget::Budget;
use super::calls::Calls;
use super::grpc::Body;
use super::limits::{PAGES_BYTES_IN_FLIGHT_MAX, PAGES_MAX};
use super::status::Refusal;
use crate::listener::{App, Peer};
use http::StatusCode;
use hyper::body::Incoming;
use hyper::{Request, Response};
use std::sync::Arc;

/// An app whose answers are pages, or streams that hold little at a time.
#[derive(Clone)]
pub struct Bounded<A> {
    app: A,
    bounds: Arc<Bounds>,
}

struct Bounds {
    calls: Calls,
    responses: Budget,
}

impl<A> Bounded<A> {
    /// This one.
    pub fn new(app: A) -> Self {
        let responses = Budget::new(PAGES_BYTES_IN_FLIGHT_MAX, Refusal::ResponsesTooMany);
        Self { app, bounds: Arc::new(Bounds { calls: Calls::new(PAGES_MAX), responses }) }
    }
}

impl<A: App<Body = Body>> App for Bounded<A> {
    type Body = Body;

    async fn call(&self, request: Request<Incoming>, peer: &Peer) -> Response<Body> {
        let place = match self.bounds.calls.enter(&peer.held.calls) {
            Ok(place) => place,
            Err(refusal) => return busy(refusal),
        };
        let answered = self.app.call(request, peer).await;
        within(answered, &self.bounds.responses).unwrap_or_else(busy).map(|body| body.of_call(place, &peer.pace))
    }
}

/// A page counts against `responses` until it is sent.
///
/// # Errors
/// The budget's refusal.
pub(super) fn within(page: Response<Body>, responses: &Budget) -> Result<Response<Body>, Refusal> {
    let mut share = responses.share();
    share.grow(page.body().page_bytes())?;
    Ok(page.map(|body| body.within(share)))
}

/// A refusal for somebody who does not speak gRPC, and takes a response without an error for good news.
pub(super) fn busy(refusal: Refusal) -> Response<Body> {
    let mut response = Response::new(Body::page(refusal.text().into()));
    *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::listener::{self, Options, Traffic};
    use bytes::Bytes;
    use http_body_util::{BodyExt, Empty};
    use hyper::client::conn::http2::{self, SendRequest};
    use hyper_util::rt::{TokioExecutor, TokioIo};
    use prometheus::Registry;
    use tokio::net::{TcpListener, TcpStream};
    use tokio_util::sync::CancellationToken;

    /// Answers with a large page.
    #[derive(Clone)]
    struct Large;

    const PAGE_BYTES: usize = 1 << 20;

    impl App for Large {
        type Body = Body;

        async fn call(&self, _: Request<Incoming>, _: &Peer) -> Response<Body> {
            Response::new(Body::page(vec![b'x'; PAGE_BYTES].into()))
        }
    }

    /// A connection whose client takes so many bytes of each answer until it reads on.
    async fn connect(port: std::net::SocketAddr, window: u32) -> SendRequest<Empty<Bytes>> {
        let stream = TcpStream::connect(port).await.expect("served");
        let mut client = http2::Builder::new(TokioExecutor::new());
        client.initial_stream_window_size(window);
        let (sender, connection) = client.handshake(TokioIo::new(stream)).await.expect("HTTP/2");
        tokio::spawn(connection);
        sender
    }

    #[tokio::test]
    async fn pages_that_nobody_reads_have_a_bound_and_one_that_is_read_is_served_again_after_them() {
        let socket = TcpListener::bind("127.0.0.1:0").await.expect("loopback has a free port");
        let port = socket.local_addr().expect("it is bound");
        let traffic = Traffic::register(&Registry::new()).expect("the names are free");
        let stop = CancellationToken::new();
        let serving = listener::serve(socket, Bounded::new(Large), Options::default(), traffic, stop.clone());
        let _stops = stop.drop_guard();
        tokio::spawn(serving);
        let ask = |sender: &mut SendRequest<Empty<Bytes>>| {
            let request = Request::get(format!("http://{port}/")).body(Empty::new()).expect("a request");
            sender.send_request(request)
        };
        let mut greedy = connect(port, 1).await;
        let mut held = Vec::new();
        for _ in 0..PAGES_BYTES_IN_FLIGHT_MAX / PAGE_BYTES {
            let page = ask(&mut greedy).await.expect("answered");
            assert_eq!(page.status(), StatusCode::OK);
            held.push(page);
        }
        let mut other = connect(port, 1 << 20).await;
        assert_eq!(ask(&mut other).await.expect("answered").status(), StatusCode::SERVICE_UNAVAILABLE);
        drop((held, greedy));
        // The member hears of a connection's end a moment later.
        let served = async {
            loop {
                let page = ask(&mut other).await.expect("answered");
                if page.status() == StatusCode::OK {
                    return page.into_body().collect().await.expect("whole").to_bytes().len();
                }
            }
        };
        let patience = std::time::Duration::from_secs(30);
        assert_eq!(tokio::time::timeout(patience, served).await.expect("there is room again"), PAGE_BYTES);
    }
}
