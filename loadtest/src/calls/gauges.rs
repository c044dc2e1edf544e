//! What lives in the gateway, from its metrics: what a run must not leave behind.

use super::api::{Http, HttpError};
use super::proof::Gauge;

/// The metrics that must be back where they were, with the labels that count (all where none is
/// named). A wallet's actor stays for a minute after its last call, and so is left out. The last one
/// is for whoever waits until ended calls are forgotten.
const WATCHED: [(&str, &[&str]); 8] = [
    ("sautikit_sessions", &[]),
    ("sautikit_calls_live", &[]),
    ("sautikit_holds", &[]),
    ("sautikit_media_port_pairs", &[]),
    ("sautikit_trunk_legs", &[]),
    ("sautikit_actors", &["actor=\"connection\"", "actor=\"call\""]),
    ("sautikit_unbilled_answered_calls", &[]),
    ("sautikit_actors", &["actor=\"ended_call\""]),
];

/// Each packet of audio that the relay took from either side.
const RELAYED: (&str, &[&str]) = ("sautikit_media_packets_total", &["direction=\"received\""]);

/// How many packets the gateway's relay has received so far.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count")]
pub(super) async fn packets_relayed(admin: &Http) -> Result<u64, HttpError> {
    let text = admin.get("/metrics").await?;
    Ok(sum(&String::from_utf8_lossy(&text), RELAYED) as u64)
}

/// Of a metric's samples with one of these labels, or of all where none is named.
fn sum(text: &str, (name, labels): (&str, &[&str])) -> f64 {
    let of_it = text.lines().filter_map(|line| line.strip_prefix(name));
    let samples = of_it.filter_map(|rest| {
        let is_it = rest.starts_with(['{', ' ']);
        let counts = labels.is_empty() || labels.iter().any(|label| rest.contains(label));
        let value = rest.rsplit(' ').next()?.parse::<f64>().ok();
        value.filter(|_| is_it && counts)
    });
    samples.sum()
}

/// A reading, in the order of what is watched.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Reading(Vec<f64>);

impl Reading {
    /// `ended`: whether calls that are over and not forgotten count.
    pub(super) async fn take(admin: &Http, ended: bool) -> Result<Self, HttpError> {
        let mut reading = Self::of(&String::from_utf8_lossy(&admin.get("/metrics").await?));
        reading.0.truncate(WATCHED.len() - usize::from(!ended));
        Ok(reading)
    }

    /// Of the text that Prometheus reads. What is not there counts as 0.
    fn of(text: &str) -> Self {
        Self(WATCHED.into_iter().map(|watched| sum(text, watched)).collect())
    }

    /// What stands in a file's first line above [`Reading::values`] of all that is watched.
    pub(super) fn names() -> impl Iterator<Item = String> {
        let plain = |text: &str| {
            let kept = text.replace("actor=", "");
            kept.chars().filter(|c| c.is_ascii_alphabetic() || *c == '_').collect::<String>()
        };
        let name = move |(name, labels): (&str, &[&str])| {
            let labels = labels.iter().map(|label| format!("_{}", plain(label)));
            let name = name.strip_prefix("sautikit_").unwrap_or(name);
            std::iter::once(name.to_owned()).chain(labels).collect()
        };
        WATCHED.into_iter().map(name)
    }

    pub(super) fn values(&self) -> impl Iterator<Item = f64> {
        self.0.iter().copied()
    }

    /// How many sessions there are.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count")]
    pub(super) fn sessions(&self) -> u64 {
        self.0.first().map_or(0, |count| *count as u64)
    }

    /// Nothing is above what it was.
    pub(super) fn is_back_at(&self, before: &Self) -> bool {
        self.0.iter().zip(&before.0).all(|(after, before)| after <= before)
    }

    pub(super) fn since(&self, before: &Self) -> Vec<Gauge> {
        let pairs = self.0.iter().zip(&before.0).zip(WATCHED);
        let gauge = |((after, before), (name, labels)): ((&f64, &f64), (&str, &[&str]))| Gauge {
            name: match labels {
                [] => name.to_owned(),
                labels => format!("{name}{{{}}}", labels.join("|")),
            },
            before: *before,
            after: *after,
        };
        pairs.map(gauge).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# TYPE sautikit_sessions gauge\nsautikit_sessions 3\n\
        sautikit_sessions_closed_total{code=\"1000\"} 9\n\
        sautikit_trunk_legs{trunk=\"a\"} 2\nsautikit_trunk_legs{trunk=\"b\"} 1.5\n\
        sautikit_actors{actor=\"call\"} 4\nsautikit_actors{actor=\"wallet\"} 7\n";

    #[test]
    fn samples_are_summed_by_name_and_what_is_not_watched_left_out() {
        let reading = Reading::of(TEXT);
        let told: Vec<_> = reading
            .since(&Reading::of(""))
            .into_iter()
            .filter(|gauge| gauge.after > 0.0)
            .map(|gauge| (gauge.name, gauge.after))
            .collect();
        let expected = [
            ("sautikit_sessions".to_owned(), 3.0),
            ("sautikit_trunk_legs".to_owned(), 3.5),
            ("sautikit_actors{actor=\"connection\"|actor=\"call\"}".to_owned(), 4.0),
        ];
        assert_eq!(told, expected);
        assert!(!reading.is_back_at(&Reading::of("")));
        assert!(Reading::of("").is_back_at(&reading) && reading.is_back_at(&reading));
    }
}
