//! What sessions stand on ends while they live: their token lapses, or the signing key changes, by
//! its files and SIGHUP.

#![allow(clippy::unwrap_used, reason = "a test stops where something is not as it says")]

mod common;

use std::time::{Duration, Instant};

use common::carrier::{Carrier, Script};
use common::gateway::{Gateway, Setup, Workspace};
use common::phone::{Dial, Phone};
use common::{OURS, THEIRS, forge, ledger, passed, until};
use serde_json::{Value, json};

const A: &str = "key A of the rotation tests, long enough";
const B: &str = "key B of the rotation tests, long enough";
const C: &str = "key C of the rotation tests, long enough";
const ACTIVE: &str = "active.key";
const NEXT: &str = "next.key";

struct World {
    carrier: Carrier,
    gateway: Gateway,
    workspace: Workspace,
}

impl World {
    /// A gateway whose keys are files: `A`, and where it is given a next one.
    fn new(next: Option<&str>) -> Self {
        let carrier = Carrier::start(Script::Answer);
        let setup = Setup::new().trunk("carrier", carrier.address(), &["+254"]);
        let place = &setup.place;
        for key in [A, B, C] {
            place.keep_out_of_logs(key);
        }
        std::fs::write(place.file(ACTIVE), A).unwrap();
        if let Some(next) = next {
            std::fs::write(place.file(NEXT), next).unwrap();
        }
        let path = |name: &str| place.file(name).display().to_string();
        let (active, coming) = (path(ACTIVE), path(NEXT));
        let workspace = place.workspace(10_000, &[OURS]);
        let gateway = setup
            .env("SAUTIKIT_SIP_TOKEN_SIGNING_KEY", "")
            .env("SAUTIKIT_SIP_TOKEN_SIGNING_KEY_FILE", &active)
            .env("SAUTIKIT_SIP_TOKEN_SIGNING_KEY_NEXT_FILE", &coming)
            .start();
        Self { carrier, gateway, workspace }
    }

    /// Writes the files (nothing: removes the next one), and waits until they are read.
    async fn rotate(&self, active: &str, next: Option<&str>, outcome: &str) {
        let place = &self.gateway.place;
        std::fs::write(place.file(ACTIVE), active).unwrap();
        match next {
            Some(next) => std::fs::write(place.file(NEXT), next).unwrap(),
            None => {
                let _was_not_there = std::fs::remove_file(place.file(NEXT));
            }
        }
        let told = format!("keys={outcome}");
        let count = || self.gateway.log().matches(&told).count();
        let before = count();
        self.gateway.signal("-HUP");
        until(&told, async || (count() > before).then_some(())).await;
    }

    fn signed_with(&self, key: &str) -> String {
        let claims = forge::claims(&self.workspace.id, 0).to_string();
        forge::signed(forge::HEADER, &claims, key.as_bytes())
    }

    async fn opens(&self, key: &str) -> bool {
        Phone::open(&self.gateway, &self.signed_with(key), &self.workspace.id).await.is_ok()
    }

    /// Which of the keys the gateway signs with.
    async fn minted_by(&self) -> &'static str {
        let token = self.gateway.token(&self.workspace, Value::Null).await;
        [A, B, C].into_iter().find(|key| forge::is_signed_with(&token, key)).unwrap()
    }
}

#[tokio::test]
async fn the_long_recipe_refuses_no_token_and_drops_no_session() {
    let world = World::new(None);
    let mut phone = Phone::of(&world.gateway, &world.workspace).await;
    let mut call = phone.talk(THEIRS).await;
    // The new key is made known, then promoted with the former one in its place, then that is cleared.
    world.rotate(A, Some(B), "Kept").await;
    assert_eq!(world.minted_by().await, A);
    assert!(world.opens(A).await && world.opens(B).await);
    world.rotate(B, Some(A), "Promoted").await;
    assert_eq!(world.minted_by().await, B);
    assert!(world.opens(A).await && world.opens(B).await);
    world.rotate(B, None, "Kept").await;
    assert_eq!(world.minted_by().await, B);
    assert!(world.opens(B).await);
    // The session of the first key has lived through it, its call too, and it renews with the new one.
    let renewal = format!("Authorization: Bearer {}\r\n", world.signed_with(B));
    assert_eq!(phone.register(&renewal).await.status(), Some(200));
    assert_eq!(phone.hang_up(&mut call).await.status(), Some(200));
    world.gateway.ended_call(&world.workspace, &call.id()).await;
    assert_eq!(ledger::check(&world.gateway.place).debits, 1);
}

#[tokio::test]
async fn the_short_recipe_promotes_and_clears_at_once_and_drops_nobody_either() {
    for next in [None, Some(""), Some("\n")] {
        let world = World::new(Some(B));
        let mut phone = Phone::of(&world.gateway, &world.workspace).await;
        let mut call = phone.talk(THEIRS).await;
        world.rotate(B, next, "Promoted").await;
        assert_eq!(world.minted_by().await, B);
        assert!(world.opens(A).await, "tokens of the former key live out their five minutes");
        assert!(world.opens(B).await && !world.opens(C).await);
        assert_eq!(phone.hang_up(&mut call).await.status(), Some(200));
        assert_eq!(phone.options().await.status(), Some(200));
    }
}

#[tokio::test]
async fn a_key_that_was_never_announced_is_an_emergency_for_the_removed_ones_sessions() {
    let world = World::new(None);
    let mut idle = Phone::of(&world.gateway, &world.workspace).await;
    let mut talking = Phone::of(&world.gateway, &world.workspace).await;
    let call = talking.talk(THEIRS).await;
    let peer = world.carrier.invite_to(THEIRS).await.call_id().to_owned();
    world.carrier.request("ACK", &peer).await;
    world.rotate(C, None, "Emergency").await;
    assert!(!world.opens(A).await, "a stolen key opens nothing any more");
    assert!(world.opens(C).await);
    assert_eq!(world.minted_by().await, C);
    assert_eq!(idle.closed().await.0, 4401);
    // A live call is not cut: it has the time of a lost socket to be claimed again, or to end.
    assert_eq!(talking.closed().await.0, 4401);
    world.carrier.bye(&peer);
    assert_eq!(world.carrier.answer_to("BYE", &peer).await.status(), Some(200));
    world.gateway.ended_call(&world.workspace, &call.id()).await;
    assert_eq!(ledger::check(&world.gateway.place).debits, 1);
}

#[tokio::test]
async fn a_token_that_renews_nothing_does_not_save_a_session_of_a_removed_key() {
    let world = World::new(Some(B));
    let mut phone = Phone::of(&world.gateway, &world.workspace).await;
    let older = forge::claims(&world.workspace.id, 100).to_string();
    let older = forge::signed(forge::HEADER, &older, B.as_bytes());
    let answer = phone.register(&format!("Authorization: Bearer {older}\r\n")).await;
    assert_eq!(answer.status(), Some(200), "{answer}");
    world.rotate(C, Some(B), "Emergency").await;
    assert_eq!(phone.closed().await.0, 4401);
}

#[tokio::test]
async fn a_call_whose_browser_stays_away_after_an_emergency_ends_thirty_seconds_later() {
    let world = World::new(None);
    let World { carrier, gateway, workspace } = &world;
    let mut phone = Phone::of(gateway, workspace).await;
    let call = phone.talk(THEIRS).await;
    let peer = carrier.invite_to(THEIRS).await.call_id().to_owned();
    carrier.request("ACK", &peer).await;
    world.rotate(C, None, "Emergency").await;
    assert_eq!(phone.closed().await.0, 4401);
    let closed = Instant::now();
    passed(closed, 29).await;
    assert_eq!(carrier.count("BYE", &peer), 0);
    carrier.request("BYE", &peer).await;
    assert!(closed.elapsed() < Duration::from_secs(33), "{:?}", closed.elapsed());
    let row = gateway.ended_call(workspace, &call.id()).await;
    assert_eq!(
        (&row["status"], &row["hangup_by"]),
        (&json!("completed"), &json!("connection_lost"))
    );
    let sums = ledger::check(&gateway.place);
    assert_eq!((sums.answered, sums.debits, sums.open_holds), (1, 1, 0));
    assert_eq!(gateway.wallet(workspace).await, (10_000 - sums.debited, 0));
}

#[tokio::test]
async fn a_lapsed_session_is_closed_thirty_seconds_later_and_one_with_a_call_after_it() {
    let World { carrier, gateway, workspace } = &World::new(None);
    // Three seconds of life.
    let claims = forge::claims(&workspace.id, 297).to_string();
    let token = forge::signed(forge::HEADER, &claims, A.as_bytes());
    let mut idle = Phone::open(gateway, &token, &workspace.id).await.unwrap();
    let mut talking = Phone::open(gateway, &token, &workspace.id).await.unwrap();
    let mut call = talking.talk(THEIRS).await;
    let opened = Instant::now();
    passed(opened, 31).await;
    let closed = async || gateway.metric("sautikit_sessions_closed_total", "").await;
    assert_eq!(closed().await, 0.0, "not yet");
    assert_eq!(idle.closed().await, (4401, "token expired".to_owned()));
    assert!(opened.elapsed() < Duration::from_secs(37), "{:?}", opened.elapsed());
    passed(opened, 37).await;
    let peer = carrier.invite_to(THEIRS).await.call_id().to_owned();
    assert_eq!((carrier.count("BYE", &peer), closed().await), (0, 1.0), "its call goes on");
    let refused = talking.refused(Dial::to("+254722000002")).await;
    assert_eq!(refused.refusal(), (401, "token.expired".to_owned()));
    assert_eq!(talking.hang_up(&mut call).await.status(), Some(200));
    assert_eq!(talking.closed().await, (4401, "token expired".to_owned()));
    gateway.ended_call(workspace, &call.id()).await;
    assert_eq!(ledger::check(&gateway.place).debits, 1);
}

#[tokio::test]
async fn files_that_are_wrong_change_nothing() {
    let world = World::new(Some(B));
    let phone = Phone::of(&world.gateway, &world.workspace).await;
    let place = &world.gateway.place;
    std::fs::write(place.file(ACTIVE), "short").unwrap();
    world.gateway.signal("-HUP");
    until("the refusal", async || {
        world.gateway.log().contains("the configuration stays as it was").then_some(())
    })
    .await;
    assert_eq!(world.minted_by().await, A);
    assert!(world.opens(A).await && world.opens(B).await);
    // Each line of the log has a time and a level of its own.
    let log = world.gateway.log();
    let odd = log.lines().find(|line| !line.starts_with("20"));
    assert_eq!(odd, None);
    drop(phone);
}
