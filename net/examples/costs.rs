//! What a session costs here: `cargo run --release -p sautikit-net --example costs`.
//!
//! Prints the time of minting, verifying, hashing and drawing random bytes, of reading and accepting
//! a handshake, and the memory of an idle WebSocket that has exchanged one message each way. The
//! clients are bare descriptors in the same process, so what grows is the server's.

use std::error::Error;
use std::future::Future;
use std::hint::black_box;
use std::io::{Read, Write};
use std::net::TcpStream as Client;
use std::time::Instant;

use bytes::Bytes;
use futures_util::StreamExt;
use sautikit_core::token::{Claims, Narrowing};
use sautikit_net::answer::switching_protocols;
use sautikit_net::api_key::ApiKey;
use sautikit_net::bearer;
use sautikit_net::head::read_head;
use sautikit_net::keys::{Keys, SigningKey};
use sautikit_net::listen::Bound;
use sautikit_net::random;
use sautikit_net::ws::{self, Incoming};
use tokio::task::LocalSet;

const SOCKETS: u32 = 4_000;
const ROUNDS: u32 = 200_000;
const NOW: i64 = 1_782_554_400;
const PAGE_KIB: u64 = 4;

fn main() -> Result<(), Box<dyn Error>> {
    let key = SigningKey::from_value(&vec![b'k'; 48].into())?;
    let next = SigningKey::from_value(&vec![b'n'; 48].into())?;
    let keys = Keys::new(key, Some(next));
    let workspace = "018f4e2a-7b1c-7def-8a00-000000000001".parse()?;
    let claims = Claims::new(workspace, NOW, Narrowing::default());
    let token = bearer::mint(&claims, &keys);
    let stranger = Keys::new(SigningKey::from_value(&vec![b's'; 48].into())?, None);
    let forged = bearer::mint(&claims, &stranger);
    let api_key = ApiKey::generate();

    time("mint", || bearer::mint(&claims, &keys).len());
    time("verify", || usize::from(bearer::verify(&token, &keys, NOW).is_ok()));
    time("verify, forged, two keys", || usize::from(bearer::verify(&forged, &keys, NOW).is_ok()));
    time("hash of an API key", || usize::from(api_key.hash().0[0]));
    time("16 random bytes", || usize::from(random::bytes::<16>()[0]));

    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let local = LocalSet::new();
    runtime.block_on(local.run_until(heads(&token)))?;
    runtime.block_on(local.run_until(sockets(&token)))
}

fn time(what: &str, mut work: impl FnMut() -> usize) {
    let started = Instant::now();
    for _ in 0..ROUNDS {
        black_box(work());
    }
    report(what, started, ROUNDS);
}

fn report(what: &str, started: Instant, rounds: u32) {
    let each = started.elapsed().as_secs_f64() * 1e6 / f64::from(rounds);
    println!("{what:<40} {each:>8.2} µs");
}

fn request(token: &str) -> String {
    format!(
        "GET /?token={token} HTTP/1.1\r\nHost: 127.0.0.1:5066\r\nConnection: Upgrade\r\n\
         Pragma: no-cache\r\nCache-Control: no-cache\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64) \
         AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0 Safari/537.36\r\n\
         Upgrade: websocket\r\nOrigin: https://app.example\r\nSec-WebSocket-Version: 13\r\n\
         Accept-Encoding: gzip, deflate, br, zstd\r\nAccept-Language: en-US,en;q=0.9\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
         Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n\
         Sec-WebSocket-Protocol: sip\r\n\r\n"
    )
}

/// Reading a head from memory and printing its 101: without any system call.
fn heads(token: &str) -> impl Future<Output = Result<(), Box<dyn Error>>> {
    let text = request(token);
    async move {
        let started = Instant::now();
        for _ in 0..ROUNDS {
            let head = read_head(&mut text.as_bytes()).await?;
            let switching = switching_protocols(&head).map_err(|_| "the handshake is refused")?;
            black_box((head.token(), switching));
        }
        report("read a head, print its 101", started, ROUNDS);
        Ok(())
    }
}

async fn sockets(token: &str) -> Result<(), Box<dyn Error>> {
    let bound = Bound::bind("127.0.0.1:0".parse()?, "ADDR")?;
    let listener = bound.listener()?;
    let addr = bound.local_addr()?;
    let text = request(token);
    let before = resident_kib()?;
    let mut clients = Vec::new();
    let started = Instant::now();
    for _ in 0..SOCKETS {
        let mut client = Client::connect(addr)?;
        client.write_all(text.as_bytes())?;
        // A masked text frame of 700 bytes, as long as a REGISTER.
        client.write_all(&[0x81, 0xfe, 0x02, 0xbc, 0, 0, 0, 0])?;
        client.write_all(&[b'R'; 700])?;
        clients.push(client);
        let (mut stream, _) = listener.accept().await;
        tokio::task::spawn_local(async move {
            let Ok(mut head) = read_head(&mut stream).await else { return };
            let Ok(switching) = switching_protocols(&head) else { return };
            let leftover = head.take_leftover();
            drop(head);
            let (mut feed, outbox) = ws::accept(stream, switching, leftover);
            while let Some(item) = feed.next().await {
                if let Incoming::Message(_) = item {
                    // A send that fails ends the feed, which is seen by the next poll.
                    let _ = outbox.send(Bytes::from(vec![b'O'; 500]));
                }
            }
        });
    }
    for client in &mut clients {
        while client.set_nonblocking(true).is_ok() {
            tokio::task::yield_now().await;
            let mut answer = [0; 1024];
            match client.read(&mut answer) {
                Ok(read) if answer.get(..read).is_some_and(|a| a.ends_with(b"OOO")) => break,
                Ok(_) | Err(_) => {}
            }
        }
    }
    report("accept to the first reply, both sides", started, SOCKETS);
    let grown = resident_kib()?.saturating_sub(before);
    println!("{:<40} {:>8.2} KiB", "an idle socket with its task", {
        let kib = u32::try_from(grown)?;
        f64::from(kib) / f64::from(SOCKETS)
    });
    Ok(())
}

fn resident_kib() -> Result<u64, Box<dyn Error>> {
    let statm = std::fs::read_to_string("/proc/self/statm")?;
    let pages = statm.split(' ').nth(1).ok_or("statm has a second field")?;
    Ok(pages.parse::<u64>()? * PAGE_KIB)
}
