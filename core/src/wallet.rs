//! The wallet: balance and holds of one workspace, as a value that decides in order.
//!
//! Every verb checks all its conditions first, in the order in which its outcome enum lists them,
//! and then changes everything. Money that is held or debited never exceeds the balance.
//!
//! **What is in flight.** A debit leaves the balance when it is decided, but the ledger has it only
//! when the node's writer has committed it, and money may also come into the ledger from elsewhere
//! (the command line, another node). So each change carries the sequence number that its submission
//! to the writer has, and the wallet remembers the last [`IN_FLIGHT_MAX`] of them. The balance that
//! the writer reads, as of the sequence number at which the reading was submitted, plus the changes
//! submitted later is then exact: see [`Wallet::reload`].

#[cfg(test)]
mod model;
#[cfg(test)]
mod table;

use crate::ids::CallId;
use crate::money::Minor;
use std::collections::{HashMap, VecDeque};

/// Changes that are remembered to be set against a balance read before them. A reading that is
/// overtaken by more is of no use and is dropped.
pub const IN_FLIGHT_MAX: usize = 4_096;

/// A share of the available balance, as a divisor, that one extension takes at most: so one call
/// does not starve the workspace's others.
const EXTEND_SHARE: i64 = 4;

/// A hold was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HoldOutcome {
    /// The same request again: the call's hold stands, whatever it has grown to.
    Exists,
    /// The call has a hold that was made for another amount.
    ExistsWithOtherAmount,
    /// The amount is below zero.
    Negative,
    /// The wallet takes no new calls.
    Closed,
    /// More than is available.
    Insufficient,
    Created,
}

/// A hold should grow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExtendOutcome {
    /// The call holds nothing.
    NoHold,
    /// An amount is below zero.
    Negative,
    /// Not even the least is available.
    Insufficient,
    /// The hold is now `total` in all; it may have grown by less than was wanted.
    Extended { total: Minor },
}

/// A call was answered durably.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AnswerOutcome {
    /// The call holds nothing.
    NoHold,
    /// The hold now ends by a post alone.
    Kept { held: Minor },
}

/// A call ended and costs something, or 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PostOutcome {
    /// The call holds nothing: never held, or already posted or released.
    NoHold,
    /// The amount is below zero.
    Negative,
    /// A post is never more than its hold.
    MoreThanHold,
    /// The sequence number is not above all earlier ones.
    OutOfOrder,
    /// `debit` left the balance, the hold is gone.
    Posted { debit: Minor },
}

/// A call ended without an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReleaseOutcome {
    /// The call holds nothing.
    NoHold,
    /// An answered call's hold is only posted, never voided.
    Answered,
    /// `amount` is available again.
    Released { amount: Minor },
}

/// Money came in, durably.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CreditOutcome {
    /// The amount is zero or below.
    NotPositive,
    /// The last balance that was read has it already.
    Known,
    /// The balance would not fit.
    Overflow,
    Credited,
}

/// The ledger refused a submitted change for good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WithdrawOutcome {
    /// No change of that number is remembered: a balance that was read has settled it, or the next
    /// one will.
    Unknown,
    /// The balance is as if the change had never been.
    Withdrawn,
}

#[derive(Debug)]
struct Hold {
    /// What it was made for: tells a repeated request from another one.
    first: Minor,
    amount: Minor,
    answered: bool,
}

/// A change of the balance that a reading submitted before `seq` does not reflect.
#[derive(Debug, Clone, Copy)]
struct Change {
    seq: u64,
    amount: Minor,
}

/// See the module. `Minor`s in it are minor units; `held` is the sum of the holds.
#[derive(Debug)]
pub struct Wallet {
    balance: Minor,
    held: Minor,
    holds: HashMap<CallId, Hold>,
    open: bool,
    /// By sequence number, ascending.
    changes: VecDeque<Change>,
    /// The reading that `balance` rests on.
    read_as_of: u64,
    /// The highest number that was forgotten: an older reading cannot be made exact.
    forgotten: u64,
}

impl Wallet {
    /// An open wallet of a balance that was read when nothing was in flight (or of which nothing
    /// else is known: it is as of sequence number 0).
    #[must_use]
    pub fn new(balance: Minor) -> Self {
        Self {
            balance,
            held: Minor::ZERO,
            holds: HashMap::new(),
            open: true,
            changes: VecDeque::new(),
            read_as_of: 0,
            forgotten: 0,
        }
    }

    /// What the ledger has, or will have when all that is submitted is committed.
    #[must_use]
    pub const fn balance(&self) -> Minor {
        self.balance
    }

    /// The sum of all holds.
    #[must_use]
    pub const fn held(&self) -> Minor {
        self.held
    }

    /// Balance less holds. Below zero only where somebody else took money out of the ledger that
    /// was held here.
    #[must_use]
    pub fn available(&self) -> Minor {
        self.balance.checked_sub(self.held).unwrap_or(Minor::MIN)
    }

    /// What a call holds.
    #[must_use]
    pub fn hold_of(&self, call: CallId) -> Option<Minor> {
        self.holds.get(&call).map(|hold| hold.amount)
    }

    /// Calls that hold something, be it zero.
    #[must_use]
    pub fn holds_len(&self) -> usize {
        self.holds.len()
    }

    /// Whether the wallet may be forgotten: nothing is held. What is in flight need not be waited
    /// for, since the next wallet's reading stands behind it in the writer's queue.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.holds.is_empty()
    }

    /// Whether new holds are taken.
    #[must_use]
    pub const fn is_open(&self) -> bool {
        self.open
    }

    /// Closes the wallet of a suspended workspace, or opens it again: a closed one takes no new
    /// hold, while those that stand grow and are posted as before.
    pub const fn set_open(&mut self, open: bool) {
        self.open = open;
    }

    /// Reserves `amount` for a call, before anything is dialled. Zero is a hold too.
    pub fn hold(&mut self, call: CallId, amount: Minor) -> HoldOutcome {
        if let Some(hold) = self.holds.get(&call) {
            return if hold.first == amount {
                HoldOutcome::Exists
            } else {
                HoldOutcome::ExistsWithOtherAmount
            };
        }
        if amount.is_negative() {
            return HoldOutcome::Negative;
        }
        if !self.open {
            return HoldOutcome::Closed;
        }
        if amount > self.available() && !amount.is_zero() {
            return HoldOutcome::Insufficient;
        }
        self.holds.insert(call, Hold { first: amount, amount, answered: false });
        self.grow_held(amount);
        HoldOutcome::Created
    }

    /// Grows a hold by `wanted`, but by no more than a quarter of what is available, and yet by at
    /// least `least` (one increment; all of `wanted` where that is less) while that is there.
    pub fn extend(&mut self, call: CallId, wanted: Minor, least: Minor) -> ExtendOutcome {
        let available = self.available();
        let Some(hold) = self.holds.get_mut(&call) else {
            return ExtendOutcome::NoHold;
        };
        if wanted.is_negative() || least.is_negative() {
            return ExtendOutcome::Negative;
        }
        let least = least.min(wanted);
        if least > available && !least.is_zero() {
            return ExtendOutcome::Insufficient;
        }
        let share = Minor::new(available.get() / EXTEND_SHARE).max(least).max(Minor::ZERO);
        let growth = wanted.min(share);
        hold.amount = hold
            .amount
            .checked_add(growth)
            .expect("growth is zero or available, so the hold stays within the balance");
        let total = hold.amount;
        self.grow_held(growth);
        ExtendOutcome::Extended { total }
    }

    /// Marks a call's hold as an answered one's, once the answer is durable: from here on only
    /// [`Wallet::post`] ends it.
    pub fn answer(&mut self, call: CallId) -> AnswerOutcome {
        match self.holds.get_mut(&call) {
            None => AnswerOutcome::NoHold,
            Some(hold) => {
                hold.answered = true;
                AnswerOutcome::Kept { held: hold.amount }
            }
        }
    }

    /// Ends a call's hold with a debit of `amount`, be it zero; the rest of the hold is available
    /// again. `seq` is the number of the debit's submission to the writer, above all earlier ones.
    pub fn post(&mut self, call: CallId, amount: Minor, seq: u64) -> PostOutcome {
        let Some(hold) = self.holds.get(&call) else {
            return PostOutcome::NoHold;
        };
        if amount.is_negative() {
            return PostOutcome::Negative;
        }
        if amount > hold.amount {
            return PostOutcome::MoreThanHold;
        }
        let newest = self.changes.back().map_or(self.forgotten, |change| change.seq);
        if seq <= newest.max(self.read_as_of) {
            return PostOutcome::OutOfOrder;
        }
        self.end_hold(call);
        self.change(seq, amount.checked_neg().expect("an amount of zero or more has an opposite"));
        PostOutcome::Posted { debit: amount }
    }

    /// Ends the hold of a call that was never answered; nothing is debited.
    pub fn release(&mut self, call: CallId) -> ReleaseOutcome {
        match self.holds.get(&call) {
            None => ReleaseOutcome::NoHold,
            Some(hold) if hold.answered => ReleaseOutcome::Answered,
            Some(_) => ReleaseOutcome::Released { amount: self.end_hold(call) },
        }
    }

    /// Lets go what unanswered calls hold that do not live any more, as where their actor died
    /// before it could say so; returns what was let go. An answered call's hold stays: its row in
    /// the store is closed and posted instead.
    pub fn expire(&mut self, lives: impl Fn(CallId) -> bool) -> Vec<(CallId, Minor)> {
        let dead: Vec<CallId> = self
            .holds
            .iter()
            .filter(|(call, hold)| !hold.answered && !lives(**call))
            .map(|(call, _)| *call)
            .collect();
        dead.into_iter().map(|call| (call, self.end_hold(call))).collect()
    }

    /// Adds money whose entry is durable; `seq` is the number that its submission had. Before that
    /// it must not be spent, so it is not counted while it is in flight.
    pub fn credit(&mut self, amount: Minor, seq: u64) -> CreditOutcome {
        if amount <= Minor::ZERO {
            return CreditOutcome::NotPositive;
        }
        if seq <= self.read_as_of || self.changes.iter().any(|change| change.seq == seq) {
            return CreditOutcome::Known;
        }
        if self.balance.checked_add(amount).is_none() {
            return CreditOutcome::Overflow;
        }
        self.change(seq, amount);
        CreditOutcome::Credited
    }

    /// Takes a submitted change back that the ledger refused for good.
    pub fn withdraw(&mut self, seq: u64) -> WithdrawOutcome {
        let found = self.changes.binary_search_by_key(&seq, |change| change.seq);
        let Some(change) = found.ok().and_then(|index| self.changes.remove(index)) else {
            return WithdrawOutcome::Unknown;
        };
        self.balance = self.balance.checked_sub(change.amount).unwrap_or(self.balance);
        WithdrawOutcome::Withdrawn
    }

    /// Takes over the ledger's balance, which reflects every change up to the number `as_of` and
    /// none after it. A reading older than the last one taken over, or overtaken by more than
    /// [`IN_FLIGHT_MAX`] changes, changes nothing.
    pub fn reload(&mut self, balance_in_ledger: Minor, as_of: u64) {
        if as_of < self.read_as_of || as_of < self.forgotten {
            return;
        }
        let later = self.changes.iter().filter(|change| change.seq > as_of);
        let exact = later
            .map(|change| change.amount)
            .try_fold(balance_in_ledger, |balance, amount| balance.checked_add(amount));
        // A ledger's balance is never below zero and each debit was checked against a balance, so
        // only a top-up in flight beside an enormous balance can fail to add up: keep what is known.
        let Some(exact) = exact else {
            return;
        };
        self.changes.retain(|change| change.seq > as_of);
        self.balance = exact;
        self.read_as_of = as_of;
    }

    fn end_hold(&mut self, call: CallId) -> Minor {
        let amount = self.holds.remove(&call).map_or(Minor::ZERO, |hold| hold.amount);
        self.held = self.held.checked_sub(amount).expect("held is the sum of the holds");
        amount
    }

    fn grow_held(&mut self, amount: Minor) {
        self.held = self
            .held
            .checked_add(amount)
            .expect("what is held was available, so the sum stays within the balance");
    }

    /// Changes the balance and remembers it for readings that do not reflect it.
    fn change(&mut self, seq: u64, amount: Minor) {
        self.balance = self
            .balance
            .checked_add(amount)
            .expect("a credit was checked, and a debit was held out of the balance");
        if seq <= self.forgotten {
            return;
        }
        let at = self.changes.partition_point(|change| change.seq < seq);
        self.changes.insert(at, Change { seq, amount });
        if self.changes.len() > IN_FLIGHT_MAX {
            let oldest = self.changes.pop_front().map_or(0, |change| change.seq);
            self.forgotten = self.forgotten.max(oldest);
        }
    }
}
