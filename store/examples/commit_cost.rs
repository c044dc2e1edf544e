//! What a call costs in commits: `commit_cost [calls per second] [seconds] [bare|generate|store|ring]`.
//!
//! `ring` writes each call's row when it rings (lazy), a second later its answer (now), and five
//! seconds later its close with the debit (soon); `store` leaves the ringing out. `generate` makes the same rows and submits
//! nothing: the cost of the generator itself. `bare` writes 512 bytes and calls fdatasync once a
//! call: what a commit cannot be cheaper than. The CPU time is the whole process's.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::io::Write as _;
use std::time::{Duration, Instant};

use sautikit_core::cause::{CallStatus, HangupBy};
use sautikit_core::e164::E164;
use sautikit_core::ids::{CallId, EntryId, EventId, WorkspaceId};
use sautikit_core::money::Minor;
use sautikit_core::rate::Rate;
use sautikit_core::time::UnixMicros;
use sautikit_store::{
    CallEvent, CallRow, Debit, Direction, NewWorkspace, Origin, Role, Urgency, Write, Writer, open,
};

const RING: Duration = Duration::from_secs(1);
const TALK: Duration = Duration::from_secs(5);
const DIALOG: &str = r#"{"call_id":"c0ffee00-0000-4000-8000-000000000000@10.0.0.1","local_tag":"s1-0123456789abcdef","remote_tag":"as5f2c1d","local_uri":"sip:+254700000001@sip.sautikit.local","remote_uri":"sip:+254722000001@127.0.0.1:5080","target":"sip:+254722000001@127.0.0.1:5080;transport=udp","route_set":[],"local_cseq":1,"transport":"udp"}"#;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |index: usize, otherwise: u64| {
        arguments.get(index).and_then(|text| text.parse().ok()).unwrap_or(otherwise)
    };
    let (rate, seconds) = (number(0, 200), number(1, 20));
    let mode = arguments.get(2).map_or("store", String::as_str);
    if mode == "bare" {
        return bare(rate, seconds);
    }
    let path = std::env::temp_dir().join(format!("commit-cost-{}", std::process::id()));
    let url = format!("sqlite://{}/db?mode=rwc", path.display());
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime starts");
    let (writer, workspace) = runtime.block_on(async {
        let store = open(&url, Role::Serve).await.expect("the database opens");
        let new = NewWorkspace {
            id: None,
            name: "load".into(),
            balance: Minor::new(1_000_000_000),
            numbers: Vec::new(),
            key: None,
        };
        let workspace = store.create_workspace(new).await.expect("the workspace is new");
        (store.start_writer().await.expect("the writer starts"), workspace)
    });
    let submit = (mode != "generate").then_some(&writer);
    // The calls come from one thread of their own, as an arbiter's do.
    let local = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime starts");
    let mut load = Load {
        writer: submit.cloned(),
        workspace,
        ringing: VecDeque::new(),
        live: VecDeque::new(),
        waits: Vec::new(),
        rings: mode == "ring",
    };
    local.block_on(load.run(rate, Duration::from_secs(seconds)));
    runtime.block_on(writer.shut_down());
    let _ = std::fs::remove_dir_all(path);
}

struct Load {
    writer: Option<Writer>,
    workspace: WorkspaceId,
    ringing: VecDeque<(Instant, CallRow)>,
    live: VecDeque<(Instant, CallRow)>,
    waits: Vec<Duration>,
    /// Whether ringing calls are written.
    rings: bool,
}

impl Load {
    async fn run(&mut self, rate: u64, lasting: Duration) {
        let mut tick =
            tokio::time::interval(Duration::from_secs(1) / u32::try_from(rate).expect("a rate"));
        let warm = Instant::now() + TALK * 2;
        let end = warm + lasting;
        let (mut measured, mut before) = (0_u64, cpu());
        let mut started = false;
        while Instant::now() < end {
            tick.tick().await;
            if !started && Instant::now() >= warm {
                (started, measured, before) = (true, 0, cpu());
                self.waits.clear();
            }
            self.step().await;
            measured += 1;
        }
        let used = cpu() - before;
        self.waits.sort();
        let at = |share: usize| {
            self.waits.get(self.waits.len() * share / 1000).copied().unwrap_or_default()
        };
        println!(
            "{measured} calls, {:.1} µs CPU a call; answer durable after p50 {:?} p99 {:?} p99.9 {:?} max {:?}",
            used.as_secs_f64() * 1e6 / measured as f64,
            at(500),
            at(990),
            at(999),
            self.waits.last().copied().unwrap_or_default()
        );
    }

    /// One call begins and is answered; one that has talked enough ends.
    async fn step(&mut self) {
        let now = Instant::now();
        let ringing = ringing(self.workspace);
        self.ringing.push_back((now, ringing.clone()));
        if let Some(writer) = self.writer.as_ref().filter(|_| self.rings) {
            let events = vec![event("call.started")];
            writer
                .submit_unwatched(Write::Call { call: Box::new(ringing), events }, Urgency::Lazy)
                .expect("the queue has room");
        }
        if self.live.front().is_some_and(|(at, _)| now - *at >= TALK) {
            let (_, call) = self.live.pop_front().expect("there is a front");
            let close = close(call);
            if let Some(writer) = &self.writer {
                writer.submit_unwatched(close, Urgency::Soon).expect("the queue has room");
            }
        }
        if self.ringing.front().is_none_or(|(at, _)| now - *at < RING) {
            return;
        }
        let (_, mut answered) = self.ringing.pop_front().expect("there is a front");
        answered.status = CallStatus::Answered;
        answered.answered_at = Some(wall());
        answered.held = Minor::new(450);
        let answer = Write::Answer {
            call: Box::new(answered.clone()),
            dialog: DIALOG.to_owned(),
            events: vec![event("call.answered")],
        };
        if let Some(writer) = &self.writer {
            writer.submit(answer, Urgency::Now).await.expect("the answer is committed");
            self.waits.push(now.elapsed());
        }
        self.live.push_back((now, answered));
    }
}

fn close(mut call: CallRow) -> Write {
    call.status = CallStatus::Completed;
    call.ended_at = Some(wall());
    call.duration_seconds = Some(5);
    call.hangup_cause = Some(Cow::Borrowed("normal_clearing"));
    call.hangup_by = Some(HangupBy::Caller);
    call.cost = Minor::new(25);
    let debit = Debit {
        entry: EntryId::from_uuid(uuid::Uuid::now_v7()),
        amount: call.cost,
        idempotency_key: format!("{}:debit", call.id),
        description: "Call to +25472…001, 5 s".to_owned(),
    };
    Write::Close { call: Box::new(call), debit: Some(debit), events: vec![event("call.completed")] }
}

fn ringing(workspace: WorkspaceId) -> CallRow {
    let id = CallId::from_uuid(uuid::Uuid::now_v7());
    CallRow {
        id,
        workspace,
        session: id.into(),
        direction: Direction::Outbound,
        origin: Origin::Browser,
        identity: None,
        local: E164::parse("+254700000001").ok(),
        remote: E164::parse("+254722000001").ok(),
        country: Some("KE".into()),
        trunk: Some("carrier".into()),
        started_at: wall(),
        answered_at: None,
        ended_at: None,
        duration_seconds: None,
        status: CallStatus::Ringing,
        failure_code: None,
        hangup_cause: None,
        hangup_by: None,
        rate: Rate::new(300.into(), 1, Minor::ZERO, Minor::ZERO).ok(),
        rate_prefix: Some("+254".into()),
        cost: Minor::ZERO,
        held: Minor::ZERO,
        quality: None,
        metadata: None,
        created_at: wall(),
        updated_at: wall(),
    }
}

fn event(kind: &'static str) -> CallEvent {
    CallEvent {
        id: EventId::from_uuid(uuid::Uuid::now_v7()),
        kind: Cow::Borrowed(kind),
        payload: Cow::Borrowed("{}"),
        occurred_at: wall(),
    }
}

fn wall() -> UnixMicros {
    let since = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .expect("the clock is past 1970");
    UnixMicros(i64::try_from(since.as_micros()).expect("microseconds fit"))
}

fn bare(rate: u64, seconds: u64) {
    let path = std::env::temp_dir().join(format!("commit-cost-{}.bare", std::process::id()));
    let mut file = std::fs::File::create(&path).expect("a temporary file");
    // Written over in place, as a log that has wrapped is.
    file.write_all(&vec![0; 16 << 20]).expect("space for the file");
    file.sync_all().expect("a sync");
    let mut waits = Vec::new();
    let before = cpu();
    let begun = Instant::now();
    for index in 0..rate * seconds {
        let due = Duration::from_nanos(1_000_000_000 / rate * index);
        std::thread::sleep(due.saturating_sub(begun.elapsed()));
        let at = Instant::now();
        std::os::unix::fs::FileExt::write_all_at(&file, &[1; 512], (index * 4096) % (16 << 20))
            .expect("a write");
        file.sync_data().expect("a sync");
        waits.push(at.elapsed());
    }
    let used = cpu() - before;
    waits.sort();
    println!(
        "{} bare commits, {:.1} µs CPU each; p50 {:?} p99 {:?}",
        waits.len(),
        used.as_secs_f64() * 1e6 / waits.len() as f64,
        waits[waits.len() / 2],
        waits[waits.len() * 99 / 100]
    );
    let _ = std::fs::remove_file(path);
}

/// User and system time of this process and its threads. Linux counts it in nanoseconds per
/// thread; threads that have ended are not in it, and none ends while this measures.
fn cpu() -> Duration {
    let mut nanos = 0_u64;
    for task in std::fs::read_dir("/proc/self/task").expect("Linux").flatten() {
        let text = std::fs::read_to_string(task.path().join("schedstat")).unwrap_or_default();
        nanos += text.split(' ').next().and_then(|word| word.parse::<u64>().ok()).unwrap_or(0);
    }
    Duration::from_nanos(nanos)
}
