//! The call's dealings with the media engine. Each is a question whose answer becomes the next
//! input of the bridge.

use std::rc::Rc;
use std::time::{Duration, Instant};

use actix::prelude::*;
use bytes::Bytes;
use sautikit_media::{EventSink, LegStats, MediaSession, MediaStats};
use sautikit_sip::leg::RequestKey;
use sautikit_store::Quality;

use super::actor::CallActor;
use super::bridge::{AnswerFor, Input, Side};
use super::queue::{CallInput, CallQueue, offer_to_call};

/// How long the media's last figures may take; a call's end does not wait longer for them.
const FIGURES_TIMEOUT: Duration = Duration::from_millis(200);

pub(super) fn event_sink(queue: CallQueue) -> EventSink {
    Box::new(move |event| offer_to_call(&queue, CallInput::Media(event)))
}

impl CallActor {
    pub(super) fn media_offer(&mut self, ctx: &mut Context<Self>, sdp: Bytes) {
        let engine = self.node.media.clone();
        let sink = event_sink(self.queue());
        let offered = async move { engine.offer(&sdp, sink).await };
        ctx.spawn(offered.into_actor(self).map(|offered, act, ctx| {
            let result = offered
                .map(|(session, sdp)| {
                    act.media = Some(Rc::new(session));
                    sdp
                })
                .map_err(|error| error.sip_status());
            act.step(ctx, Input::MediaOffered(result));
        }));
    }

    pub(super) fn media_answer(&mut self, ctx: &mut Context<Self>, purpose: AnswerFor, sdp: Bytes) {
        let Some(media) = self.media.clone() else { return };
        let answered = async move {
            let answered = media.answer(&sdp).await;
            if answered.is_ok() && purpose == AnswerFor::Answer {
                media.talking();
            }
            answered
        };
        ctx.spawn(answered.into_actor(self).map(move |answered, act, ctx| {
            let result = answered.map_err(|error| error.sip_status());
            act.step(ctx, Input::MediaAnswered { purpose, result });
        }));
    }

    pub(super) fn media_reoffer(
        &mut self,
        ctx: &mut Context<Self>,
        side: Side,
        request: RequestKey,
        sdp: Bytes,
    ) {
        let Some(media) = self.media.clone() else { return };
        let answered = async move {
            match side {
                Side::Caller => media.reoffer_from_browser(&sdp).await,
                Side::Peer => media.reoffer_from_trunk(&sdp).await,
            }
        };
        ctx.spawn(answered.into_actor(self).map(move |answered, act, ctx| {
            let result = answered.map_err(|error| error.sip_status());
            act.step(ctx, Input::Reoffered { side, request, result });
        }));
    }
}

impl CallActor {
    /// The relay's offer, for a carrier's re-INVITE without one.
    pub(super) fn offer_to_trunk(&mut self, ctx: &mut Context<Self>, request: RequestKey) {
        let Some(media) = self.media.clone() else { return };
        let offered = async move { media.offer_to_trunk().await };
        ctx.spawn(offered.into_actor(self).map(move |offered, act, ctx| {
            let result = offered.map_err(|error| error.sip_status());
            act.step(ctx, Input::Reoffered { side: Side::Peer, request, result });
        }));
    }
}

/// Ends the relay and gives what it measured on the worse leg.
pub(super) async fn last_figures(media: Option<Rc<MediaSession>>) -> Option<Quality> {
    let media = media?;
    let stats = tokio::time::timeout(FIGURES_TIMEOUT, media.stats()).await.ok()?.ok()?;
    quality_of(&stats)
}

fn quality_of(stats: &MediaStats) -> Option<Quality> {
    [stats.browser, stats.trunk]
        .iter()
        .filter_map(leg_quality)
        .min_by(|left, right| left.mos.total_cmp(&right.mos))
}

fn leg_quality(leg: &LegStats) -> Option<Quality> {
    let expected = leg.packets_received.saturating_add(leg.packets_lost);
    let lost = u32::try_from(leg.packets_lost).unwrap_or(u32::MAX);
    let expected = u32::try_from(expected).unwrap_or(u32::MAX);
    let packet_loss = if expected == 0 { 0.0 } else { f64::from(lost) / f64::from(expected) };
    Some(Quality { mos: f64::from(leg.mos?), jitter_ms: f64::from(leg.jitter_ms), packet_loss })
}

/// When the browser's media was last heard, where the engine sees media.
pub(super) async fn heard_from_browser(media: &MediaSession) -> Option<Instant> {
    let stats = tokio::time::timeout(FIGURES_TIMEOUT, media.stats()).await.ok()?.ok()?;
    Instant::now().checked_sub(stats.browser.last_packet_age?)
}
