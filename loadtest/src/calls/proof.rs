//! The billing proof: the gateway's books, the browsers' and the carrier's, held against each other.
//!
//! A plain value decides: [`prove`] takes what everybody wrote and gives what does not agree. A
//! call's records meet in its called number, which no other call of the run has.
//!
//! | proved | how exactly |
//! |---|---|
//! | an answered call has one debit, of its cost, and no other call has any | to the minor unit |
//! | its cost is what its seconds cost at the rate that its 200 promised | to the minor unit |
//! | Σ debits = Σ costs = balance before − balance after, and each entry follows the one before | to the minor unit |
//! | answered for the gateway = answered for the browsers = answered for the carrier | call by call |
//! | and as long: the billed seconds, and each other's time with a begun second counted | ± 1 s a call |
//! | nothing is held, and no gauge is above its start | exactly |
//!
//! Where something was done to the gateway, an [`Allowance`] says by how much a call may be billed
//! less than others counted. It never may be billed more.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;
use std::time::Duration;

use sautikit_core::money::Minor;
use sautikit_core::rate::Rate;
use serde::Serialize;

use super::seen::{Outcome, Seen};
use super::tariff::Tariff;
use crate::carrier::{EndedBy, Record};

/// Everybody starts and stops the clock at another end of the same wire. The gateway's time of a call
/// that this side hung up lies within the carrier's: it begins with the carrier's 200, and ends before
/// its BYE; and the browser's time lies within the gateway's. There is no second between them to lose.
const SECONDS_APART: u64 = 1;
/// The carrier's seconds are rounded to the millisecond.
const CARRIER_ROUNDS: f64 = 0.002;
/// A gateway that hangs up by itself does so on the second, and its BYE is under way for a moment.
const BYE_UNDER_WAY: f64 = 0.25;
/// What a difference is told of in full; the rest is counted.
pub(super) const TOLD_MAX: usize = 50;

/// A wallet as the API shows it, in minor units.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Wallet {
    pub(super) balance: i64,
    pub(super) held: i64,
}

/// A call's row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) id: String,
    pub(super) called: String,
    pub(super) answered: bool,
    pub(super) ended: bool,
    pub(super) seconds: u64,
    /// Minor units a minute, as text.
    pub(super) per_minute: Option<String>,
    pub(super) cost: i64,
}

/// An entry of the ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) is_debit: bool,
    pub(super) amount: i64,
    pub(super) balance_after: i64,
    pub(super) call: Option<String>,
}

/// What the gateway wrote from before the first call until after the last.
#[derive(Clone, Debug)]
pub(super) struct Books {
    pub(super) before: Wallet,
    pub(super) after: Wallet,
    pub(super) rows: Vec<Row>,
    /// The newest first, as they are listed.
    pub(super) entries: Vec<Entry>,
}

/// What of a rate no header tells.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Terms {
    pub(super) minimum: i64,
    pub(super) fee: i64,
}

/// A gauge of the gateway's before and after.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Gauge {
    pub(super) name: String,
    pub(super) before: f64,
    pub(super) after: f64,
}

/// All that is known at the end.
#[derive(Clone, Copy, Debug)]
pub(super) struct Facts<'a> {
    pub(super) seen: &'a [Seen],
    /// `None` where nobody asked the gateway.
    pub(super) books: Option<&'a Books>,
    pub(super) terms: Terms,
    /// `None` where the carrier's records are not at hand.
    pub(super) carried: Option<&'a [Record]>,
    pub(super) gauges: &'a [Gauge],
    /// What may differ about which call, by its called number.
    pub(super) allowed: &'a HashMap<String, Allowance>,
}

/// By how many seconds a call may be billed less than others counted.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Allowance {
    pub(super) carrier: f64,
    pub(super) browser: f64,
    /// How long the carrier may have talked in a call of which no browser was told that it is
    /// answered, and that the gateway has no answer of.
    pub(super) free: f64,
}

impl Allowance {
    pub(super) fn and(self, other: Self) -> Self {
        Self {
            carrier: self.carrier + other.carrier,
            browser: self.browser + other.browser,
            free: self.free + other.free,
        }
    }
}

/// What the carrier counted in calls with an [`Allowance`], and nobody paid.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub(super) struct Unpaid {
    /// Calls with an allowance that the carrier answered.
    pub(super) calls: u64,
    /// Of these, those that the gateway knows no answer of.
    pub(super) free_calls: u64,
    pub(super) free_seconds: f64,
    /// Of the others: Σ of what the carrier counted above the billed seconds, and the most of one.
    pub(super) seconds: f64,
    pub(super) worst_seconds: f64,
    /// Σ of what was allowed.
    pub(super) allowed_seconds: f64,
}

/// What does not agree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Kind {
    /// A row of the gateway is still open.
    CallNotEnded,
    /// The gateway has a call that no browser made.
    ForeignCall,
    /// The gateway has two rows of one call.
    SecondRow,
    CallWithoutDebit,
    SecondDebit,
    DebitDiffers,
    /// The cost is not what the seconds cost.
    CostDiffers,
    /// The row's rate is not the one of the 200.
    RateDiffers,
    /// What was not answered is free.
    CostWithoutAnswer,
    DebitWithoutAnswer,
    /// A top-up, or a debit of no call of this run.
    ForeignEntry,
    /// An entry does not follow the one before.
    BalanceDiffers,
    SumDiffers,
    StillHeld,
    /// Answered for the browser, and not for the gateway.
    OnlyAtBrowser,
    /// Answered for the gateway, and not for the browser.
    OnlyAtGateway,
    /// The 200 named another call.
    OtherCallId,
    BrowserSecondsDiffer,
    /// Answered, and the carrier does not know of it.
    NotAtCarrier,
    /// Answered for the carrier alone.
    OnlyAtCarrier,
    /// Answered twice for the carrier.
    TwiceAtCarrier,
    CarrierSecondsDiffer,
    LeftBehind,
}

/// One thing that does not agree, and where.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Difference {
    pub(super) difference: Kind,
    pub(super) says: String,
}

/// One side's count of the answered calls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub(super) struct Count {
    pub(super) answered: u64,
    pub(super) seconds: f64,
}

/// What the proof came to.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Proof {
    pub(super) ok: bool,
    pub(super) browsers: Count,
    pub(super) gateway: Option<Count>,
    pub(super) carrier: Option<Count>,
    /// Minor units: Σ debits, Σ costs, and balance before − after.
    pub(super) debited: Option<i64>,
    pub(super) cost: Option<i64>,
    pub(super) spent: Option<i64>,
    pub(super) gauges: Vec<Gauge>,
    /// `None` where nothing may differ, or there are no records of the carrier.
    pub(super) unpaid: Option<Unpaid>,
    /// The same call by call, by its called number.
    #[serde(skip)]
    pub(super) unpaid_of: HashMap<String, f64>,
    pub(super) differences_count: usize,
    /// The first [`TOLD_MAX`] of them.
    pub(super) differences: Vec<Difference>,
}

/// Holds all books against each other.
pub(super) fn prove(facts: &Facts<'_>) -> Proof {
    let by_caller = |record: &&Record| record.ended_by == EndedBy::Caller;
    let hung_up_here = facts.carried.unwrap_or_default().iter().filter(by_caller);
    let hung_up_here = hung_up_here.map(|record| record.to.clone()).collect();
    let mut court = Court { hung_up_here, ..Court::default() };
    let browsers = of_browsers(facts.seen);
    let gateway = facts.books.map(|books| court.gateway(books, facts));
    let carrier = facts.carried.map(|carried| court.carrier(carried, facts));
    for Gauge { name, before, after } in facts.gauges.iter().filter(|it| it.after > it.before) {
        court.finds(Kind::LeftBehind, format!("{name} was {before} and is {after}"));
    }
    let sums = facts.books.map(Sums::of);
    let Court { found, unpaid, unpaid_of, .. } = court;
    let mut differences = found;
    let differences_count = differences.len();
    differences.truncate(TOLD_MAX);
    Proof {
        ok: differences_count == 0,
        browsers,
        gateway,
        carrier,
        debited: sums.map(|sums| sums.debited),
        cost: sums.map(|sums| sums.cost),
        spent: sums.map(|sums| sums.spent),
        gauges: facts.gauges.to_vec(),
        unpaid_of,
        unpaid: carrier.filter(|_| !facts.allowed.is_empty()).map(|_| unpaid),
        differences_count,
        differences,
    }
}

#[derive(Clone, Copy, Debug)]
struct Sums {
    debited: i64,
    cost: i64,
    spent: i64,
}

impl Sums {
    /// A sum that leaves its range differs from every other one, which is what is looked for.
    fn of(books: &Books) -> Self {
        let debits = books.entries.iter().filter(|entry| entry.is_debit);
        Self {
            debited: debits.fold(0, |sum: i64, entry| sum.saturating_sub(entry.amount)),
            cost: books.rows.iter().fold(0, |sum: i64, row| sum.saturating_add(row.cost)),
            spent: books.before.balance.saturating_sub(books.after.balance),
        }
    }
}

fn of_browsers(seen: &[Seen]) -> Count {
    let answered = seen.iter().filter_map(|seen| match &seen.outcome {
        Outcome::Answered(answered) => Some(answered.talked.unwrap_or_default()),
        _ => None,
    });
    answered.fold(Count::default(), |sum, talked| Count {
        answered: sum.answered + 1,
        seconds: sum.seconds + talked.as_secs_f64(),
    })
}

/// Gathers what is found.
#[derive(Debug, Default)]
struct Court {
    found: Vec<Difference>,
    unpaid: Unpaid,
    unpaid_of: HashMap<String, f64>,
    /// Calls that the carrier did not hang up, by its own record.
    hung_up_here: HashSet<String>,
}

impl Court {
    fn finds(&mut self, difference: Kind, says: String) {
        self.found.push(Difference { difference, says });
    }

    /// The gateway against itself, and against the browsers.
    fn gateway(&mut self, books: &Books, facts: &Facts<'_>) -> Count {
        let mut debits: BTreeMap<&str, Vec<&Entry>> = BTreeMap::new();
        for entry in &books.entries {
            match entry.call.as_deref().filter(|_| entry.is_debit) {
                Some(call) => debits.entry(call).or_default().push(entry),
                None => self.finds(Kind::ForeignEntry, format!("an entry of {}", entry.amount)),
            }
        }
        let seen: BTreeMap<&str, &Seen> =
            facts.seen.iter().map(|seen| (&*seen.called, seen)).collect();
        let common = facts.seen.iter().find_map(|seen| rate_of(seen, facts.terms));
        let mut rows: BTreeMap<&str, &Row> = BTreeMap::new();
        let mut count = Count::default();
        for row in &books.rows {
            let name = name(row);
            let of_it = debits.remove(&*row.id).unwrap_or_default();
            if !row.ended {
                self.finds(Kind::CallNotEnded, name.clone());
            }
            if row.answered {
                count.answered += 1;
                count.seconds += Duration::from_secs(row.seconds).as_secs_f64();
                self.debit(row, &of_it, &name);
            } else {
                self.free(row, &of_it, &name);
            }
            match seen.get(&*row.called) {
                Some(seen) => self.row(row, seen, common, facts, &name),
                None => self.finds(Kind::ForeignCall, format!("{name}: no browser called it")),
            }
            if rows.insert(&row.called, row).is_some() {
                self.finds(Kind::SecondRow, name);
            }
        }
        for (call, entries) in debits {
            self.finds(Kind::ForeignEntry, format!("{} debit(s) of call {call}", entries.len()));
        }
        for seen in facts.seen.iter().filter(|seen| matches!(seen.outcome, Outcome::Answered(_))) {
            if rows.get(&*seen.called).is_none_or(|row| !row.answered) {
                self.finds(Kind::OnlyAtBrowser, seen.called.clone());
            }
        }
        self.money(books);
        count
    }

    fn debit(&mut self, row: &Row, debits: &[&Entry], name: &str) {
        match debits {
            // An open call is told of already.
            [] if row.ended => self.finds(Kind::CallWithoutDebit, name.to_owned()),
            [] => {}
            [debit] if debit.amount.checked_neg() == Some(row.cost) => {}
            [debit] => {
                let (debit, cost) = (debit.amount, row.cost);
                self.finds(
                    Kind::DebitDiffers,
                    format!("{name}: debited {debit}, where it cost {cost}"),
                );
            }
            more => self.finds(Kind::SecondDebit, format!("{name}: {} debits", more.len())),
        }
    }

    fn free(&mut self, row: &Row, debits: &[&Entry], name: &str) {
        if row.cost != 0 {
            self.finds(Kind::CostWithoutAnswer, format!("{name}: {}", row.cost));
        }
        if let Some(debit) = debits.first() {
            self.finds(Kind::DebitWithoutAnswer, format!("{name}: {}", debit.amount));
        }
    }

    /// A row against its browser.
    fn row(&mut self, row: &Row, seen: &Seen, common: Option<Rate>, facts: &Facts<'_>, name: &str) {
        let terms = facts.terms;
        if row.answered && row.ended {
            let stored = row.per_minute.as_deref();
            let promised = rate_of(seen, terms);
            // A call whose 200 never came has what the others were promised but for the price.
            let increment_seconds = promised.or(common).map_or(1, |rate| rate.increment_seconds());
            let Terms { minimum, fee } = terms;
            let cost = stored.and_then(|per_minute| {
                Tariff { per_minute, increment_seconds, minimum, fee }.cost(row.seconds)
            });
            let stored = stored.and_then(|text| rate(text, increment_seconds, terms));
            if promised.is_some() && promised != stored {
                let says = format!("{name}: {stored:?}, where the 200 promised {promised:?}");
                self.finds(Kind::RateDiffers, says);
            }
            if cost != Some(row.cost) {
                let (seconds, is) = (row.seconds, row.cost);
                let says = format!("{name}: {seconds} s at {stored:?} do not cost {is}");
                self.finds(Kind::CostDiffers, says);
            }
        }
        match &seen.outcome {
            Outcome::Answered(answered) => {
                if answered.call_id.as_ref().is_some_and(|id| *id != row.id) {
                    self.finds(Kind::OtherCallId, format!("{name}: {:?}", answered.call_id));
                }
                if let Some(talked) = answered.talked.filter(|_| row.answered && row.ended)
                    && self.differs(row, talked, facts.allowed(seen).browser)
                {
                    let (billed, talked) = (row.seconds, talked.as_secs_f64());
                    let says = format!("{name}: billed {billed} s, the browser talked {talked:.3}");
                    self.finds(Kind::BrowserSecondsDiffer, says);
                }
            }
            Outcome::Unanswered if row.answered => self.finds(Kind::OnlyAtGateway, name.to_owned()),
            Outcome::Unanswered | Outcome::Unclear => {}
        }
    }

    /// Whether a browser's time is another than the billed seconds, of which there may be some less.
    fn differs(&self, row: &Row, talked: Duration, less: f64) -> bool {
        let within = if self.hung_up_here.contains(&row.called) {
            BYE_UNDER_WAY
        } else {
            float(SECONDS_APART)
        };
        let (billed, talked) = (float(row.seconds), talked.as_secs_f64());
        billed > talked.ceil() + float(SECONDS_APART) || billed + less < (talked - within).ceil()
    }

    fn money(&mut self, books: &Books) {
        let mut balance = books.before.balance;
        for entry in books.entries.iter().rev() {
            balance = balance.saturating_add(entry.amount);
            if balance != entry.balance_after {
                let after = entry.balance_after;
                self.finds(
                    Kind::BalanceDiffers,
                    format!("{after} after an entry, where {balance} follows"),
                );
                balance = after;
            }
        }
        if balance != books.after.balance {
            let is = books.after.balance;
            let says = format!("the balance is {is}, the last entry left {balance}");
            self.finds(Kind::BalanceDiffers, says);
        }
        let Sums { debited, cost, spent } = Sums::of(books);
        if debited != cost || cost != spent {
            self.finds(
                Kind::SumDiffers,
                format!("debits {debited}, costs {cost}, balance before − after {spent}"),
            );
        }
        if books.after.held != 0 {
            self.finds(Kind::StillHeld, format!("{} minor units", books.after.held));
        }
    }

    /// The carrier against the gateway, or against the browsers where nobody asked the gateway.
    fn carrier(&mut self, carried: &[Record], facts: &Facts<'_>) -> Count {
        let mut answered: BTreeMap<&str, Option<f64>> = match facts.books {
            Some(books) => {
                let rows = books.rows.iter().filter(|row| row.answered);
                let seconds =
                    |row: &Row| row.ended.then(|| Duration::from_secs(row.seconds).as_secs_f64());
                rows.map(|row| (&*row.called, seconds(row))).collect()
            }
            None => facts.seen.iter().filter_map(talked_of).collect(),
        };
        let unclear = |called: &str| {
            facts.books.is_none()
                && facts
                    .seen
                    .iter()
                    .any(|seen| seen.called == called && seen.outcome == Outcome::Unclear)
        };
        let apart = float(SECONDS_APART);
        let told: HashSet<&str> = facts.seen.iter().filter_map(talked_of).map(|it| it.0).collect();
        let mut count = Count::default();
        let mut known: BTreeMap<&str, f64> = BTreeMap::new();
        for record in carried.iter().filter(|record| record.status == 200) {
            count.answered += 1;
            count.seconds += record.seconds;
            let Record { to, seconds, .. } = record;
            if known.insert(to, *seconds).is_some() {
                self.finds(Kind::TwiceAtCarrier, to.clone());
                continue;
            }
            let allowed = facts.allowed.get(to);
            match answered.remove(&**to) {
                Some(Some(other)) => {
                    self.count_unpaid(to, allowed, seconds - other);
                    let margin = allowed.map_or(0.0, |allowed| allowed.carrier);
                    let is_billed = facts.books.is_some() && self.hung_up_here.contains(to);
                    let most = match is_billed {
                        true => (seconds + CARRIER_ROUNDS).ceil(),
                        false => seconds.ceil() + apart,
                    };
                    if other.ceil() > most || seconds.ceil() > other.ceil() + apart + margin {
                        let says =
                            format!("{to}: {seconds:.3} s, where the other side has {other:.3}");
                        self.finds(Kind::CarrierSecondsDiffer, says);
                    }
                }
                Some(None) => {}
                None if unclear(to) => {}
                None if allowed.is_some_and(|it| *seconds <= it.free && !told.contains(&**to)) => {
                    self.unpaid.calls += 1;
                    self.unpaid.free_calls += 1;
                    self.unpaid.free_seconds += seconds;
                    self.unpaid_of.insert(to.clone(), *seconds);
                }
                None => self.finds(Kind::OnlyAtCarrier, format!("{to}: {seconds:.3} s")),
            }
        }
        for called in answered.keys() {
            self.finds(Kind::NotAtCarrier, (*called).to_owned());
        }
        count
    }

    fn count_unpaid(&mut self, called: &str, allowed: Option<&Allowance>, above: f64) {
        let Some(allowed) = allowed else { return };
        let above = above.max(0.0);
        self.unpaid.calls += 1;
        self.unpaid.seconds += above;
        self.unpaid_of.insert(called.to_owned(), above);
        self.unpaid.worst_seconds = self.unpaid.worst_seconds.max(above);
        self.unpaid.allowed_seconds += allowed.carrier;
    }
}

impl Facts<'_> {
    fn allowed(&self, seen: &Seen) -> Allowance {
        self.allowed.get(&seen.called).copied().unwrap_or_default()
    }
}

fn talked_of(seen: &Seen) -> Option<(&str, Option<f64>)> {
    let Outcome::Answered(answered) = &seen.outcome else { return None };
    Some((&seen.called, answered.talked.map(|talked| talked.as_secs_f64())))
}

fn name(row: &Row) -> String {
    format!("{} ({})", row.called, row.id)
}

/// The rate that a call's 200 promised: `300;per=60;increment=1;currency=KES`.
fn rate_of(seen: &Seen, terms: Terms) -> Option<Rate> {
    let Outcome::Answered(answered) = &seen.outcome else { return None };
    let mut parts = answered.rate.as_deref()?.split(';');
    let price = parts.next()?;
    let increment = parts.find_map(|part| part.strip_prefix("increment="))?.parse().ok()?;
    rate(price, increment, terms)
}

fn rate(price: &str, increment: u32, terms: Terms) -> Option<Rate> {
    Rate::from_text(price, increment, Minor::new(terms.minimum), Minor::new(terms.fee)).ok()
}

/// Seconds apart are few.
#[allow(clippy::cast_precision_loss)]
const fn float(count: u64) -> f64 {
    count as f64
}

impl fmt::Display for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "proof: {}",
            if self.ok { "the books agree" } else { "the books DO NOT agree" }
        )?;
        let sides = [
            // Without anybody to compare them with they prove nothing.
            ("browsers", self.gateway.or(self.carrier).map(|_| self.browsers)),
            ("gateway", self.gateway),
            ("carrier", self.carrier),
        ];
        for (name, count) in sides {
            let Some(Count { answered, seconds }) = count else { continue };
            writeln!(f, "  {name:<10} {answered} answered calls, {seconds:.1} s")?;
        }
        if let (Some(debited), Some(cost), Some(spent)) = (self.debited, self.cost, self.spent) {
            writeln!(f, "  debits {debited}, costs {cost}, balance before − after {spent}")?;
        }
        if let Some(unpaid) = self.unpaid {
            let Unpaid { calls, free_calls, free_seconds, .. } = unpaid;
            let Unpaid { seconds, worst_seconds, allowed_seconds, .. } = unpaid;
            writeln!(
                f,
                "  {calls} answered calls met a fault; nobody paid {seconds:.1} s of what the carrier counted \
                 (at most {worst_seconds:.1} s a call; {allowed_seconds:.1} s were allowed)"
            )?;
            writeln!(
                f,
                "  {free_calls} of them only the carrier knows to be answered, for {free_seconds:.1} s"
            )?;
        }
        for Gauge { name, before, after } in &self.gauges {
            writeln!(f, "  {name} was {before} and is {after}")?;
        }
        for Difference { difference, says } in &self.differences {
            let kind = serde_json::to_value(difference).unwrap_or_default();
            writeln!(f, "  {}: {says}", kind.as_str().unwrap_or_default())?;
        }
        let untold = self.differences_count - self.differences.len();
        if untold > 0 {
            writeln!(f, "  and {untold} more")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
