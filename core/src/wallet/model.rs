//! Random steps against a small independent model: a ledger behind a queue, as the writer is. The
//! model shares no code with the wallet; it counts in `i128` and in plain lists.

use super::*;
use proptest::prelude::*;

const CALLS: u8 = 8;

#[derive(Debug, Clone)]
enum Step {
    Hold {
        call: u8,
        amount: i64,
    },
    Extend {
        call: u8,
        wanted: i64,
        least: i64,
    },
    Answer {
        call: u8,
    },
    Post {
        call: u8,
        amount: i64,
    },
    Release {
        call: u8,
    },
    /// A top-up through the node's writer.
    Credit {
        amount: i64,
    },
    /// A top-up by another process, straight into the ledger.
    CreditElsewhere {
        amount: i64,
    },
    /// A reading is submitted.
    Read,
    /// The writer works off this many submissions; their answers come back.
    Commit {
        count: usize,
    },
    /// The calls below this number live, the others died.
    Expire {
        living: u8,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let amount = || prop_oneof![Just(5_i64), -2_i64..40, Just(0)];
    let call = || 0..CALLS;
    prop_oneof![
        4 => (call(), amount()).prop_map(|(call, amount)| Step::Hold { call, amount }),
        3 => (call(), amount(), amount())
            .prop_map(|(call, wanted, least)| Step::Extend { call, wanted, least }),
        2 => call().prop_map(|call| Step::Answer { call }),
        4 => (call(), amount()).prop_map(|(call, amount)| Step::Post { call, amount }),
        1 => call().prop_map(|call| Step::Release { call }),
        1 => (1_i64..60).prop_map(|amount| Step::Credit { amount }),
        1 => (1_i64..60).prop_map(|amount| Step::CreditElsewhere { amount }),
        2 => Just(Step::Read),
        4 => (1_usize..4).prop_map(|count| Step::Commit { count }),
        1 => call().prop_map(|living| Step::Expire { living }),
    ]
}

#[derive(Debug)]
enum Submitted {
    Debit(i128),
    Credit(i128, u64),
    Read(u64),
}

/// (call, first amount, amount, answered)
type Held = (u8, i128, i128, bool);

struct Model {
    holds: Vec<Held>,
    /// What is committed.
    ledger: i128,
    queue: VecDeque<Submitted>,
    submitted: u64,
    /// Credits of other processes that no answered reading has brought yet.
    unseen: i128,
    wallet: Wallet,
}

fn id(call: u8) -> CallId {
    CallId::from_parts(1, [call; 10])
}

impl Model {
    fn new(balance: i64) -> Self {
        Self {
            holds: Vec::new(),
            ledger: i128::from(balance),
            queue: VecDeque::new(),
            submitted: 0,
            unseen: 0,
            wallet: Wallet::new(Minor::new(balance)),
        }
    }

    fn held(&self) -> i128 {
        self.holds.iter().map(|hold| hold.2).sum()
    }

    /// What may be spent: the ledger, less what others put there unseen, less debits in the queue.
    fn balance(&self) -> i128 {
        let debits: i128 = self
            .queue
            .iter()
            .map(|item| if let Submitted::Debit(amount) = item { *amount } else { 0 })
            .sum();
        self.ledger - self.unseen - debits
    }

    fn find(&self, call: u8) -> Option<usize> {
        self.holds.iter().position(|hold| hold.0 == call)
    }

    fn hold(&mut self, call: u8, amount: i64) {
        let wide = i128::from(amount);
        let expected = match self.find(call).map(|at| self.holds[at].1) {
            Some(first) if first == wide => HoldOutcome::Exists,
            Some(_) => HoldOutcome::ExistsWithOtherAmount,
            None if amount < 0 => HoldOutcome::Negative,
            None if amount > 0 && self.held() + wide > self.balance() => HoldOutcome::Insufficient,
            None => HoldOutcome::Created,
        };
        assert_eq!(self.wallet.hold(id(call), Minor::new(amount)), expected);
        if expected == HoldOutcome::Created {
            self.holds.push((call, wide, wide, false));
        }
    }

    fn extend(&mut self, call: u8, wanted: i64, least: i64) {
        let free = self.balance() - self.held();
        let got = self.wallet.extend(id(call), Minor::new(wanted), Minor::new(least));
        let Some(at) = self.find(call) else {
            return assert_eq!(got, ExtendOutcome::NoHold);
        };
        if wanted < 0 || least < 0 {
            return assert_eq!(got, ExtendOutcome::Negative);
        }
        let (wanted, least) = (i128::from(wanted), i128::from(least));
        let must = if least < wanted { least } else { wanted };
        if must > free {
            return assert_eq!(got, ExtendOutcome::Insufficient);
        }
        let quarter = free / 4;
        let may = if quarter > must { quarter } else { must };
        self.holds[at].2 += if wanted < may { wanted } else { may };
        let total = Minor::new(i64::try_from(self.holds[at].2).unwrap());
        assert_eq!(got, ExtendOutcome::Extended { total });
    }

    fn post(&mut self, call: u8, amount: i64) {
        self.submitted += 1;
        let got = self.wallet.post(id(call), Minor::new(amount), self.submitted);
        let expected = match self.find(call) {
            None => PostOutcome::NoHold,
            Some(_) if amount < 0 => PostOutcome::Negative,
            Some(at) if i128::from(amount) > self.holds[at].2 => PostOutcome::MoreThanHold,
            Some(at) => {
                self.holds.remove(at);
                self.queue.push_back(Submitted::Debit(i128::from(amount)));
                PostOutcome::Posted { debit: Minor::new(amount) }
            }
        };
        assert_eq!(got, expected);
    }

    fn release(&mut self, call: u8) {
        let got = self.wallet.release(id(call));
        let expected = match self.find(call) {
            None => ReleaseOutcome::NoHold,
            Some(at) if self.holds[at].3 => ReleaseOutcome::Answered,
            Some(at) => {
                let amount = i64::try_from(self.holds.remove(at).2).unwrap();
                ReleaseOutcome::Released { amount: Minor::new(amount) }
            }
        };
        assert_eq!(got, expected);
    }

    fn commit(&mut self, count: usize) {
        for _ in 0..count {
            match self.queue.pop_front() {
                None => return,
                Some(Submitted::Debit(amount)) => {
                    self.ledger -= amount;
                    assert!(self.ledger >= 0, "the ledger would have refused this debit");
                }
                Some(Submitted::Credit(amount, seq)) => {
                    self.ledger += amount;
                    let amount = Minor::new(i64::try_from(amount).unwrap());
                    assert_eq!(self.wallet.credit(amount, seq), CreditOutcome::Credited);
                }
                Some(Submitted::Read(as_of)) => {
                    self.unseen = 0;
                    self.wallet.reload(Minor::new(i64::try_from(self.ledger).unwrap()), as_of);
                }
            }
        }
    }

    fn apply(&mut self, step: Step) {
        match step {
            Step::Hold { call, amount } => self.hold(call, amount),
            Step::Extend { call, wanted, least } => self.extend(call, wanted, least),
            Step::Answer { call } => {
                let at = self.find(call);
                let kept = matches!(self.wallet.answer(id(call)), AnswerOutcome::Kept { .. });
                assert_eq!(kept, at.is_some());
                if let Some(at) = at {
                    self.holds[at].3 = true;
                }
            }
            Step::Post { call, amount } => self.post(call, amount),
            Step::Release { call } => self.release(call),
            Step::Credit { amount } => {
                self.submitted += 1;
                self.queue.push_back(Submitted::Credit(i128::from(amount), self.submitted));
            }
            Step::CreditElsewhere { amount } => {
                self.ledger += i128::from(amount);
                self.unseen += i128::from(amount);
            }
            Step::Read => self.queue.push_back(Submitted::Read(self.submitted)),
            Step::Commit { count } => self.commit(count),
            Step::Expire { living } => {
                self.wallet.expire(|call| (0..living).any(|number| id(number) == call));
                self.holds.retain(|hold| hold.3 || hold.0 < living);
            }
        }
    }

    fn check(&self) {
        assert_eq!(i128::from(self.wallet.balance().get()), self.balance());
        assert_eq!(i128::from(self.wallet.held().get()), self.held());
        assert_eq!(self.wallet.holds_len(), self.holds.len());
        assert!(self.held() <= self.balance(), "more is held than there is");
        for (call, _, amount, _) in &self.holds {
            let held = self.wallet.hold_of(id(*call)).map(Minor::get);
            assert_eq!(held.map(i128::from), Some(*amount));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn every_step_agrees_with_the_model_and_the_ledger_never_goes_below_zero(
        balance in 0_i64..200,
        steps in prop::collection::vec(step(), 1..150),
    ) {
        let mut model = Model::new(balance);
        for step in steps {
            model.apply(step);
            model.check();
        }
        model.apply(Step::Read);
        model.commit(usize::MAX);
        prop_assert_eq!(i128::from(model.wallet.balance().get()), model.ledger);
    }
}
