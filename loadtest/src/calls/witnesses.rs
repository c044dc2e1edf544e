//! Whoever else knows of the calls: the carrier, the gateway's books and its gauges. They are asked
//! before the first call and after the last, and then held against what the browsers saw.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use super::CallsError;
use super::api::Http;
use super::books::Bookkeeper;
use super::called::Called;
use super::connecting::Connecting;
use super::exchange::{Exchange, Follow, Own, ping};
use super::gauges::Reading;
use super::proof::{Allowance, Facts, Gauge, Proof, Terms, prove};
use super::seen::{Outcome, Seen};
use super::settings::Settings;
use crate::carrier::Record;

/// How often it is looked whether the gateway has settled.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// What the carrier has for its last lines, once the gateway has settled.
const CARRIER_PATIENCE: Duration = Duration::from_secs(3);

/// See the [module](self).
pub(super) struct Witnesses {
    exchange: Exchange,
    books: Option<Bookkeeper>,
    watch: Option<Watch>,
    called: Called,
    terms: Terms,
    settle: Duration,
}

/// The gateway's gauges since the start.
pub(super) struct Watch {
    admin: Http,
    /// Ended calls count too.
    ended: bool,
    before: Reading,
}

/// What they said.
#[derive(Default)]
pub(super) struct Verdict {
    pub(super) records: Option<Vec<Record>>,
    /// `None` where nobody was asked.
    pub(super) proof: Option<Proof>,
    /// Why there is none: a witness that is gone takes nothing from what was measured.
    pub(super) unproven: Option<String>,
}

impl Witnesses {
    /// Starts or finds the carrier, and marks where the books and the gauges are.
    pub(super) async fn call(settings: &Settings) -> Result<Self, CallsError> {
        let books = match settings.connecting.api()? {
            Some(api) => Some(Bookkeeper::open(api).await.map_err(CallsError::books)?),
            None => None,
        };
        let watch = Watch::start(&settings.connecting).await?;
        let exchange = match (settings.own_carrier(), settings.carrier) {
            (Some(listen), _) => Exchange::Own(Own::start(listen, &settings.carrier_args())?),
            (None, carrier) => {
                if let Some(carrier) = carrier {
                    ping(carrier).await?;
                }
                let follow = settings.carrier_records.clone().map(Follow::start).transpose()?;
                Exchange::Elsewhere(follow)
            }
        };
        let matched = !matches!(exchange, Exchange::Elsewhere(None)) || books.is_some();
        let (wanted, there) = (settings.schedule().total(), settings.to.capacity());
        if matched && wanted > there {
            return Err(CallsError::Numbers { wanted, there });
        }
        let (called, terms) = (settings.to.clone(), settings.terms());
        let settle = settings.connecting.settle();
        Ok(Self { exchange, books, watch, called, terms, settle })
    }

    pub(super) fn carrier_pid(&self) -> Option<u32> {
        self.exchange.pid()
    }

    /// Waits until the gateway has done with the last call, and holds all against each other.
    pub(super) async fn judge(
        self,
        seen: &[Seen],
        allowed: &HashMap<String, Allowance>,
    ) -> Verdict {
        let settled = self.settle().await;
        let answered = seen.iter().filter(|seen| matches!(seen.outcome, Outcome::Answered(_)));
        let answered: HashSet<&str> = answered.map(|seen| &*seen.called).collect();
        let patience = Instant::now() + CARRIER_PATIENCE;
        let Self { exchange, called, terms, books, watch, .. } = self;
        let told = exchange.finish(&called, &answered, patience).await.map_err(CallsError::from);
        let (records, told) = match told {
            Ok(records) => (records, Ok(())),
            Err(error) => (None, Err(error)),
        };
        let judged = match settled.and(told) {
            Ok(()) => prove_all((seen, allowed), records.as_deref(), books, watch, terms).await,
            Err(error) => Err(error),
        };
        match judged {
            Ok(proof) => Verdict { records, proof, unproven: None },
            Err(error) => Verdict { records, proof: None, unproven: Some(error.to_string()) },
        }
    }

    async fn settle(&self) -> Result<(), CallsError> {
        let deadline = Instant::now() + self.settle;
        while Instant::now() < deadline && !self.is_settled().await? {
            tokio::time::sleep(LOOK_EVERY).await;
        }
        Ok(())
    }

    async fn is_settled(&self) -> Result<bool, CallsError> {
        if let Some(watch) = &self.watch
            && !watch.is_back().await?
        {
            return Ok(false);
        }
        match &self.books {
            Some(books) => books.is_settled().await.map_err(CallsError::books),
            None => Ok(true),
        }
    }
}

async fn prove_all(
    (seen, allowed): (&[Seen], &HashMap<String, Allowance>),
    carried: Option<&[Record]>,
    books: Option<Bookkeeper>,
    watch: Option<Watch>,
    terms: Terms,
) -> Result<Option<Proof>, CallsError> {
    if books.is_none() && carried.is_none() && watch.is_none() {
        return Ok(None);
    }
    let books = match books {
        Some(books) => Some(books.close().await.map_err(CallsError::books)?),
        None => None,
    };
    let gauges = match watch {
        Some(watch) => watch.gauges().await?,
        None => Vec::new(),
    };
    Ok(Some(prove(&Facts {
        seen,
        books: books.as_ref(),
        terms,
        carried,
        gauges: &gauges,
        allowed,
    })))
}

impl Watch {
    /// `None` where there is nobody to ask.
    pub(super) async fn start(connecting: &Connecting) -> Result<Option<Self>, CallsError> {
        let Some(admin) = connecting.admin()? else { return Ok(None) };
        let ended = !connecting.no_linger;
        let before = Reading::take(&admin, ended).await.map_err(CallsError::admin)?;
        Ok(Some(Self { admin, ended, before }))
    }

    async fn read(&self) -> Result<Reading, CallsError> {
        Reading::take(&self.admin, self.ended).await.map_err(CallsError::admin)
    }

    async fn is_back(&self) -> Result<bool, CallsError> {
        Ok(self.read().await?.is_back_at(&self.before))
    }

    /// Waits until all is back where it was, for so long at the most, and says what is not.
    pub(super) async fn judge(self, patience: Duration) -> Result<Proof, CallsError> {
        let deadline = Instant::now() + patience;
        while Instant::now() < deadline && !self.is_back().await? {
            tokio::time::sleep(LOOK_EVERY).await;
        }
        let (seen, gauges) = (&[][..], self.gauges().await?);
        let terms = Terms::default();
        Ok(prove(&Facts {
            seen,
            books: None,
            terms,
            carried: None,
            gauges: &gauges,
            allowed: &HashMap::new(),
        }))
    }

    async fn gauges(&self) -> Result<Vec<Gauge>, CallsError> {
        Ok(self.read().await?.since(&self.before))
    }
}
