//! The write queue: 64 messages or 256 KiB.

use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::StreamExt;
use sautikit_net::ws::{Incoming, SendError};
use socket2::SockRef;
use tokio::io::AsyncReadExt;

use crate::support::{TEXT, beside, closed, raw, read_close, read_frame};

#[tokio::test]
async fn sixty_four_messages_wait_and_the_next_closes_with_4408() {
    let (mut client, mut feed, outbox) = raw().await;
    for _ in 0..64 {
        outbox.send(Bytes::from_static(b"m")).unwrap();
    }
    assert_eq!(outbox.waiting(), (64, 64));
    assert_eq!(outbox.send(Bytes::from_static(b"m")), Err(SendError::Full));
    assert_eq!(outbox.send(Bytes::from_static(b"m")), Err(SendError::Closed));
    let (items, code) = beside(&mut feed, read_close(&mut client)).await;
    assert_eq!((items, code), (vec![closed(4408, "too slow", false)], 4408));
}

#[tokio::test]
async fn what_is_read_makes_room_again() {
    let (mut client, mut feed, outbox) = raw().await;
    for _ in 0..10 {
        for _ in 0..64 {
            outbox.send(Bytes::from_static(b"m")).unwrap();
        }
        let read = async {
            for _ in 0..64 {
                assert_eq!(read_frame(&mut client).await, (TEXT, b"m".to_vec()));
            }
        };
        tokio::select! { _ = feed.next() => unreachable!(), () = read => {} }
        assert_eq!(outbox.waiting(), (0, 0));
    }
}

#[tokio::test]
async fn a_reader_that_stops_is_closed_at_256_kib_and_gone_in_2_seconds() {
    let (client, mut feed, outbox) = raw().await;
    SockRef::from(&client).set_recv_buffer_size(4096).unwrap();
    let message = Bytes::from(vec![b'x'; 16 * 1024]);
    let mut queued_most = 0;
    let result = loop {
        if let Err(error) = outbox.send(message.clone()) {
            break error;
        }
        queued_most = queued_most.max(outbox.waiting().1);
        let wait = Duration::from_millis(1);
        assert!(tokio::time::timeout(wait, feed.next()).await.is_err());
    };
    assert_eq!(result, SendError::Full);
    assert!((240 * 1024..=256 * 1024).contains(&queued_most), "{queued_most}");
    let started = Instant::now();
    assert_eq!(feed.next().await, Some(closed(4408, "too slow", false)));
    assert_eq!(feed.next().await, None);
    assert!(started.elapsed() < Duration::from_secs(3));
}

#[tokio::test]
async fn a_slow_reader_that_catches_up_gets_every_message_in_order() {
    let (mut client, mut feed, outbox) = raw().await;
    let message = |n: u32| Bytes::from(format!("{n:08}{}", "x".repeat(8_000)));
    let mut sent = 0;
    let mut got = Vec::new();
    while sent < 400 {
        while outbox.waiting().1 < 128 * 1024 && sent < 400 {
            outbox.send(message(sent)).unwrap();
            sent += 1;
        }
        let mut chunk = [0; 64 * 1024];
        tokio::select! {
            item = feed.next() => panic!("{item:?}"),
            read = client.read(&mut chunk) => got.extend(&chunk[..read.unwrap()]),
        }
    }
    outbox.close(1000, "");
    let ((), items) = tokio::join!(
        async {
            client.read_to_end(&mut got).await.unwrap();
        },
        async {
            let items: Vec<Incoming> = feed.by_ref().collect().await;
            drop(feed);
            items
        }
    );
    assert_eq!(items, [closed(1000, "", false)]);
    let whole = 4 + 8_008;
    for n in 0..400u32 {
        let at = usize::try_from(n).unwrap() * whole + 4;
        assert_eq!(&got[at..at + 8], format!("{n:08}").as_bytes());
    }
}

#[tokio::test]
async fn a_send_from_elsewhere_wakes_a_feed_that_waits() {
    let (mut client, mut feed, outbox) = raw().await;
    let later = async {
        tokio::time::sleep(Duration::from_millis(20)).await;
        outbox.send(Bytes::from_static(b"woken")).unwrap();
        read_frame(&mut client).await
    };
    let got = tokio::select! { _ = feed.next() => unreachable!(), got = later => got };
    assert_eq!(got, (TEXT, b"woken".to_vec()));
}
