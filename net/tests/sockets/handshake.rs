//! Both sides of a handshake, from the listener to the first message.

use bytes::Bytes;
use futures_util::StreamExt;
use sautikit_core::cause::HandshakeRefusal;
use sautikit_net::answer::{Answer, switching_protocols};
use sautikit_net::bearer::Token;
use sautikit_net::client::{ConnectError, Handshake, TokenPlace, connect};
use sautikit_net::head::read_head;
use sautikit_net::listen::Bound;
use sautikit_net::ws::{self, Incoming};
use tokio::net::TcpStream;

use crate::support::{closed, message};

#[tokio::test]
async fn a_token_in_each_place_opens_a_session_that_talks_both_ways() {
    let bound = Bound::bind("127.0.0.1:0".parse().unwrap(), "SAUTIKIT_WS_ADDR").unwrap();
    let listener = bound.listener().unwrap();
    let token = Token::new("a.b.c");
    for place in [TokenPlace::Query, TokenPlace::Header, TokenPlace::Subprotocol] {
        let server = async {
            let (mut stream, _) = listener.accept().await;
            let mut head = read_head(&mut stream).await.unwrap();
            assert_eq!(head.token().unwrap().expose(), "a.b.c");
            assert!(head.offers_sip());
            let leftover = head.take_leftover();
            ws::accept(stream, switching_protocols(&head).unwrap(), leftover)
        };
        let client = async {
            let stream = TcpStream::connect(bound.local_addr().unwrap()).await.unwrap();
            let token = Some((place, &token));
            let origin = Some("https://app.example");
            connect(stream, &Handshake { host: "gateway", path: "/sip", token, origin })
                .await
                .unwrap()
        };
        let serve = async {
            let (mut feed, outbox) = server.await;
            assert_eq!(feed.next().await, Some(message("REGISTER")));
            outbox.send(Bytes::from_static(b"200 OK")).unwrap();
            feed.collect::<Vec<Incoming>>().await
        };
        let ask = async {
            let (mut feed, outbox) = client.await;
            outbox.send(Bytes::from_static(b"REGISTER")).unwrap();
            assert_eq!(feed.next().await, Some(message("200 OK")));
            outbox.close(1000, "done");
            feed.collect::<Vec<Incoming>>().await
        };
        let (served, asked) = tokio::join!(serve, ask);
        assert_eq!(served, [closed(1000, "done", true)]);
        assert_eq!(asked, [closed(1000, "done", false)]);
    }
}

#[tokio::test]
async fn a_client_learns_why_it_was_refused_and_when_to_return() {
    let bound = Bound::bind("127.0.0.1:0".parse().unwrap(), "SAUTIKIT_WS_ADDR").unwrap();
    let listener = bound.listener().unwrap();
    for refusal in HandshakeRefusal::ALL {
        let server = async {
            let (mut stream, _) = listener.accept().await;
            read_head(&mut stream).await.unwrap();
            Answer::refusal(refusal).finish(stream).await;
        };
        let client = async {
            let stream = TcpStream::connect(bound.local_addr().unwrap()).await.unwrap();
            let handshake = Handshake { host: "gateway", path: "/", token: None, origin: None };
            connect(stream, &handshake).await.err().unwrap()
        };
        let ((), error) = tokio::join!(server, client);
        let ConnectError::Refused { status, code, retry_after } = error else {
            panic!("{error}");
        };
        assert_eq!((status, code.as_str()), (refusal.status(), refusal.code()));
        assert_eq!(retry_after.is_some(), refusal.retry_after().is_some());
    }
}
