//! A carrier in a process of its own: one UDP port for SIP, RTP on ports of its own.

mod behaviour;
mod call;
mod lines;
mod record;
mod sdp;
mod switch;
mod voice;

use std::future;
use std::io::{self, Write};
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use clap::Args;
use sautikit_net::udp::{BindError, Bound};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;

pub use behaviour::{Behaviour, HANG_UP_AFTER};
pub use record::{EndedBy, Record};

use call::House;
use lines::Lines;
use switch::{Output, Switch};

use crate::clock::Clock;

/// How long a call rings before it is answered, so that a person sees and hears it ring.
const RINGS_FOR: Duration = Duration::from_secs(1);

/// What the command line says.
#[derive(Args, Clone, Debug)]
pub struct Settings {
    /// Address and port of SIP over UDP; with port 0 the first line on standard output says which
    /// one it is.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:5080")]
    pub listen: SocketAddr,
    /// The address in Contact and SDP, where it is not the one of --listen.
    #[arg(long, value_name = "IP")]
    pub public: Option<IpAddr>,
    /// How long a call rings before it is answered; 1000 where it is left out, and 0 with --sip-only.
    #[arg(long, value_name = "MS")]
    pub answer_after_ms: Option<u64>,
    /// Answers with a session description behind which nobody listens, whatever is offered. (A
    /// browser's own offer, as a gateway in `bypass` hands it through, is answered so in any case.)
    #[arg(long)]
    pub sip_only: bool,
    /// Ends with standard input, too, so that it does not outlive whoever started it.
    #[arg(long, hide = true)]
    pub until_input_ends: bool,
    /// The tone that is played, in hertz.
    #[arg(long, value_name = "HZ", default_value_t = 425, value_parser = clap::value_parser!(u16).range(50..=3400))]
    pub tone: u16,
}

/// Why there is no carrier.
#[derive(Debug, thiserror::Error)]
pub enum CarrierError {
    #[error(transparent)]
    Bind(#[from] BindError),
    #[error("--public: {0} is no address that a caller could send to; give one of this machine")]
    NoAddress(IpAddr),
    #[error("the carrier cannot run: {0}")]
    Io(#[from] io::Error),
}

/// Runs until SIGTERM or SIGINT, which end it at once and cleanly.
///
/// # Errors
///
/// [`CarrierError`].
pub fn run(settings: &Settings) -> Result<(), CarrierError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(serve(settings))
}

async fn serve(settings: &Settings) -> Result<(), CarrierError> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let input = settings.until_input_ends.then(input_ends);
    let mut input_ends = std::pin::pin!(async {
        match input {
            Some(ends) => drop(ends.await),
            None => future::pending().await,
        }
    });
    let bound = Bound::bind(settings.listen, "--listen")?;
    let local = bound.local_addr()?;
    let (mut receiver, sender) = bound.split()?;
    let mut switch = Switch::new(house(settings, local)?);
    say(&serde_json::json!({ "ready": local.to_string() }).to_string());

    let mut datagrams = Vec::new();
    loop {
        let deadline = switch.poll_timeout();
        let due = async {
            match deadline {
                Some(at) => tokio::time::sleep_until(at.into()).await,
                None => future::pending().await,
            }
        };
        tokio::select! {
            _ = terminate.recv() => return Ok(()),
            _ = interrupt.recv() => return Ok(()),
            () = &mut input_ends => return Ok(()),
            () = receiver.recv_many(&mut datagrams) => {
                for (datagram, source) in datagrams.drain(..) {
                    switch.handle(Instant::now(), &datagram, source);
                }
            }
            () = due => switch.handle_timeout(Instant::now()),
        }
        for output in switch.outputs() {
            match output {
                // What is not sent is sent again by SIP's own timers.
                Output::Send { bytes, to } => drop(sender.send(&bytes, to)),
                Output::Ended(record) => {
                    say(&serde_json::to_string(&record).map_err(io::Error::other)?);
                }
            }
        }
    }
}

fn house(settings: &Settings, local: SocketAddr) -> Result<House, CarrierError> {
    let public = settings.public.unwrap_or_else(|| local.ip());
    if public.is_unspecified() {
        return Err(CarrierError::NoAddress(public));
    }
    let lines = match settings.sip_only {
        true => None,
        false => Some(Lines::start(local.ip(), settings.tone)?),
    };
    let rings_for = if settings.sip_only { Duration::ZERO } else { RINGS_FOR };
    let answer_after = settings.answer_after_ms.map_or(rings_for, Duration::from_millis);
    let (sip, clock) = (SocketAddr::new(public, local.port()), Clock::now());
    Ok(House { sip, media: public, answer_after, clock, lines })
}

/// Comes, as an error, when standard input has ended.
fn input_ends() -> oneshot::Receiver<()> {
    let (alive, ends) = oneshot::channel();
    std::thread::spawn(move || {
        // Whatever is typed there, and however it ends.
        let _ = io::copy(&mut io::stdin(), &mut io::sink());
        drop(alive);
    });
    ends
}

/// One line on standard output, at once. A reader that has gone away does not end the carrier.
fn say(line: &str) {
    let mut out = io::stdout().lock();
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}
