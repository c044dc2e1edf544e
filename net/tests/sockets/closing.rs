use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::StreamExt;
use sautikit_net::ws::{Close, Failure, Incoming, SendError};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::{
    CLOSE, TEXT, beside, closed, failed, masked, message, raw, read_close, read_frame,
};

#[tokio::test]
async fn the_peers_close_code_and_reason_arrive_and_are_echoed() {
    for (payload, code, reason) in [
        (&b"\x03\xe8bye"[..], Some(1000), "bye"),
        (b"\x03\xe9", Some(1001), ""),
        (b"\x0f\xa0", Some(4000), ""),
        (b"", None, ""),
    ] {
        let (mut client, mut feed, outbox) = raw().await;
        client.write_all(&masked(CLOSE, payload)).await.unwrap();
        let expected = Close { code, reason: reason.into(), by_peer: true };
        assert_eq!(feed.next().await, Some(Incoming::Closed(expected)));
        assert_eq!(read_frame(&mut client).await, (CLOSE, payload.to_vec()));
        assert_eq!(feed.next().await, None);
        assert_eq!(outbox.send(Bytes::from_static(b"late")), Err(SendError::Closed));
        drop(feed);
        assert_eq!(client.read(&mut [0]).await.unwrap(), 0);
    }
}

#[tokio::test]
async fn a_connection_that_ends_without_a_close_frame_is_lost() {
    let (client, mut feed, outbox) = raw().await;
    drop(client);
    assert_eq!(feed.next().await, Some(failed(Failure::Lost)));
    assert_eq!(feed.next().await, None);
    assert!(!outbox.is_open() && Failure::Lost.close_code().is_none());
}

#[tokio::test]
async fn what_came_in_before_a_reset_is_still_read() {
    let (mut client, mut feed, outbox) = raw().await;
    client.write_all(&masked(TEXT, b"BYE")).await.unwrap();
    client.write_all(&masked(CLOSE, &1001u16.to_be_bytes())).await.unwrap();
    drop(client);
    // The first write is answered with a reset, the second one fails.
    tokio::time::sleep(Duration::from_millis(20)).await;
    outbox.send(Bytes::from_static(b"SIP/2.0 200 OK")).unwrap();
    assert_eq!(feed.next().await, Some(message("BYE")));
    outbox.send(Bytes::from_static(b"SIP/2.0 200 OK")).unwrap();
    assert_eq!(feed.next().await, Some(closed(1001, "", true)));
}

#[tokio::test]
async fn our_close_goes_out_after_what_was_queued_and_waits_for_the_peers() {
    let (mut client, mut feed, outbox) = raw().await;
    outbox.send(Bytes::from_static(b"last")).unwrap();
    outbox.close(4503, "draining");
    outbox.close(4401, "the second code does not count");
    assert_eq!(outbox.send(Bytes::from_static(b"late")), Err(SendError::Closed));
    let started = Instant::now();
    let (items, ()) = beside(&mut feed, async {
        assert_eq!(read_frame(&mut client).await, (TEXT, b"last".to_vec()));
        let (first, payload) = read_frame(&mut client).await;
        assert_eq!((first, &payload[2..]), (CLOSE, &b"draining"[..]));
        client.write_all(&masked(TEXT, b"crossed")).await.unwrap();
        client.write_all(&masked(CLOSE, &payload)).await.unwrap();
    })
    .await;
    assert_eq!(items, [closed(4503, "draining", false)]);
    assert!(started.elapsed() < Duration::from_secs(1));
}

#[tokio::test]
async fn a_peer_that_does_not_answer_our_close_is_left_after_2_seconds() {
    let (mut client, mut feed, outbox) = raw().await;
    outbox.close(4401, "token");
    let started = Instant::now();
    let (items, code) = beside(&mut feed, read_close(&mut client)).await;
    assert_eq!((items, code), (vec![closed(4401, "token", false)], 4401));
    let took = started.elapsed();
    assert!((Duration::from_secs(2)..Duration::from_secs(4)).contains(&took), "{took:?}");
}

#[tokio::test]
async fn a_long_reason_is_cut_between_two_characters() {
    let (mut client, mut feed, outbox) = raw().await;
    outbox.close(4429, &"é".repeat(100));
    let (_, payload) = beside(&mut feed, async {
        let (_, payload) = read_frame(&mut client).await;
        client.write_all(&masked(CLOSE, &payload)).await.unwrap();
        payload
    })
    .await;
    assert_eq!(&payload[2..], "é".repeat(61).as_bytes());
}

#[tokio::test]
async fn a_flood_after_a_violation_is_left_within_2_seconds() {
    let (mut client, mut feed, _outbox) = raw().await;
    client.write_all(&masked(0x83, b"x")).await.unwrap();
    let (mut reader, mut writer) = client.into_split();
    let flood = tokio::spawn(async move {
        let frame = masked(TEXT, &[b'x'; 1000]);
        while writer.write_all(&frame).await.is_ok() {}
    });
    let started = Instant::now();
    assert_eq!(feed.next().await, Some(failed(Failure::Protocol)));
    assert_eq!(feed.next().await, None);
    assert!(started.elapsed() < Duration::from_secs(3));
    let mut first = [0; 4];
    reader.read_exact(&mut first).await.unwrap();
    assert_eq!(first, [CLOSE, 2, 3, 0xea]);
    drop(feed);
    flood.await.unwrap();
}
