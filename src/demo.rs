//! `demo`: a gateway, a carrier and a customer on one machine. The carrier is a process of its own
//! (`sautikit-loadtest carrier`); the customer has a workspace, a page with a telephone and a
//! backend that keeps the API key, as a real one would.

mod backend;
mod carrier;
mod customer;
mod greeting;

use std::fs::DirBuilder;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::process::ExitCode;

use axum::Router;
use sautikit_actors::Addresses;
use sautikit_net::keys::KEY_MIN_BYTES;

use crate::config::{Config, Sources, settings};
use crate::serve::{Extras, ServeError, finish, run};
use backend::Backend;
use carrier::Carrier;
use customer::Customer;

/// Where the demo keeps what a second start finds again.
const FOLDER: &str = "data";

/// Why there is no demo. Each is one line that says what to do.
#[derive(Debug, thiserror::Error)]
enum DemoError {
    #[error(transparent)]
    Carrier(#[from] carrier::CarrierError),
    #[error(transparent)]
    Customer(#[from] customer::CustomerError),
    #[error("{FOLDER}/ cannot be used: {0}; run the demo where you may write")]
    Folder(std::io::Error),
    #[error(
        "{FOLDER}/signing.key holds {0} bytes and must hold at least {KEY_MIN_BYTES}; remove it, and the next start makes \
         another"
    )]
    ShortKey(usize),
}

/// The command.
pub(crate) fn demo(mut sources: Sources) -> ExitCode {
    match prepare(&mut sources) {
        Ok((carrier, customer)) => live(&sources, carrier, customer),
        // Its log has no format before its configuration is read.
        Err(error) => {
            eprintln!("sautikit-gateway demo: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Data folder, signing key, carrier and customer; what the operator set himself stands.
fn prepare(sources: &mut Sources) -> Result<(Carrier, Customer), DemoError> {
    // Its keys, numbers and ledger are nobody else's to read.
    let folder = DirBuilder::new().recursive(true).mode(0o700).create(FOLDER);
    folder.map_err(DemoError::Folder)?;
    // Before anything is started or made: what stands in the way of it is told by its own name.
    let key = customer::signing_key(Path::new(FOLDER)).map_err(DemoError::Folder)?;
    if key.len() < KEY_MIN_BYTES && sources.bytes(&settings::SIGNING_KEY).is_none() {
        return Err(DemoError::ShortKey(key.len()));
    }
    let carrier = Carrier::start()?;
    defaults(sources, carrier.address()).map_err(DemoError::Folder)?;
    let customer = Customer::of(sources)?;
    Ok((carrier, customer))
}

/// What the demo sets where nobody else did.
fn defaults(sources: &mut Sources, carrier: SocketAddr) -> std::io::Result<()> {
    let key = customer::signing_key(Path::new(FOLDER))?;
    sources.set_default(&settings::SIGNING_KEY, key);
    sources.set_default(&settings::DATABASE_URL, format!("sqlite://{FOLDER}/demo.db?mode=rwc"));
    sources.set_default(&settings::MEDIA_ADDR, other_address().to_string());
    sources.set_default(&settings::LOG, "warn,sautikit_actors=info");
    sources.set_default_file("the demo's own", trunk_to(carrier));
    Ok(())
}

fn trunk_to(carrier: SocketAddr) -> String {
    format!(
        "[[trunk]]\nname = \"carrier\"\nuri = \"sip:{carrier};transport=udp\"\n\
         prefixes = [\"+254\"]\n\n\
         [[rate]]\nprefix = \"+254\"\nper_minute_minor = 300\nincrement_seconds = 1\n"
    )
}

/// The machine's first IPv4 address that is not loopback, where there is one: Firefox never pairs
/// with loopback. Connecting a UDP socket sends nothing; it only asks the routing table.
fn other_address() -> IpAddr {
    let loopback = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let asked = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).and_then(|socket| {
        socket.connect((Ipv4Addr::new(192, 0, 2, 1), 9))?;
        socket.local_addr()
    });
    asked.map_or(loopback, |found| found.ip())
}

fn live(sources: &Sources, carrier: Carrier, customer: Customer) -> ExitCode {
    let config = match Config::parse(sources) {
        Ok(config) => config,
        Err(problems) => return crate::refuse(&problems),
    };
    let mut extras = Demo { customer, carrier: carrier.address() };
    let format = config.log.format;
    let ended: Result<(), ServeError> = run(config, &mut extras);
    drop(carrier);
    finish(ended, format)
}

/// What the demo adds to a gateway: the page, the customer's backend, and a word to the person.
struct Demo {
    customer: Customer,
    carrier: SocketAddr,
}

impl Extras for Demo {
    fn routes(&mut self, addresses: &Addresses) -> (Option<Router>, Option<String>) {
        let backend = Backend::new(addresses.http, self.customer.api_key());
        let routes = crate::web::routes().merge(backend.routes());
        (Some(routes), Some(format!("ws://{}", addresses.ws)))
    }

    fn started(&mut self, addresses: &Addresses) {
        actix::spawn(self.customer.retire_former_keys());
        greeting::greet(addresses, &self.customer);
    }

    fn sources(&self) -> Sources {
        let mut sources = Sources::of_process(None);
        // The key was made at the start; where it can no longer be read, the reload says so.
        let _missing = defaults(&mut sources, self.carrier);
        sources
    }

    fn ends_at_once(&self) -> bool {
        true
    }
}
