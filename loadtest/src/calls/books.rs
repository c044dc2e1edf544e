//! The gateway's books of a run, read over its HTTP API: what came after the newest call and the
//! newest entry that were there before.

use serde::Deserialize;

use super::api::{Http, HttpError};
use super::proof::{Books, Entry, Row, Wallet};

/// Why there are no books.
#[derive(Debug, thiserror::Error)]
pub(super) enum BooksError {
    #[error(transparent)]
    Http(#[from] HttpError),
    #[error(
        "the workspace is in use ({0}): a proof needs one that nobody else calls from meanwhile"
    )]
    InUse(&'static str),
    #[error("the lists of the API end without what was in them before")]
    Rewritten,
}

/// Knows where the run began in the gateway's lists.
#[derive(Debug)]
pub(super) struct Bookkeeper {
    api: Http,
    before: Wallet,
    last_call: Option<String>,
    last_entry: Option<String>,
}

#[derive(Deserialize)]
struct Page<T> {
    data: Vec<T>,
    next_cursor: Option<String>,
}

#[derive(Deserialize)]
struct ApiWallet {
    balance_minor: i64,
    held_minor: i64,
}

#[derive(Deserialize)]
struct ApiCall {
    id: String,
    remote_e164: Option<String>,
    answered_at: Option<String>,
    ended_at: Option<String>,
    duration_seconds: Option<u64>,
    rate_per_minute_minor: Option<serde_json::Number>,
    cost_minor: i64,
}

#[derive(Deserialize)]
struct ApiEntry {
    id: String,
    kind: String,
    amount_minor: i64,
    balance_after_minor: i64,
    call_id: Option<String>,
}

/// What a list's rows are told apart by.
trait Listed {
    fn id(&self) -> &str;
}

impl Listed for ApiCall {
    fn id(&self) -> &str {
        &self.id
    }
}

impl Listed for ApiEntry {
    fn id(&self) -> &str {
        &self.id
    }
}

const CALLS: &str = "/v1/calls";
const LEDGER: &str = "/v1/wallet/ledger";

impl Bookkeeper {
    /// Marks where the run begins. A workspace in which something is under way is refused.
    pub(super) async fn open(api: Http) -> Result<Self, BooksError> {
        if is_live(&api).await? {
            return Err(BooksError::InUse("a call is under way"));
        }
        let before = wallet(&api).await?;
        if before.held != 0 {
            return Err(BooksError::InUse("money is held"));
        }
        let last_call = newest::<ApiCall>(&api, CALLS).await?;
        let last_entry = newest::<ApiEntry>(&api, LEDGER).await?;
        Ok(Self { api, before, last_call, last_entry })
    }

    /// Nothing is under way any more: no call is open, so each has its debit, and nothing is held.
    pub(super) async fn is_settled(&self) -> Result<bool, BooksError> {
        Ok(wallet(&self.api).await?.held == 0 && !is_live(&self.api).await?)
    }

    /// All that was written since.
    pub(super) async fn close(self) -> Result<Books, BooksError> {
        let after = wallet(&self.api).await?;
        let calls = since::<ApiCall>(&self.api, CALLS, self.last_call.as_deref()).await?;
        let entries = since::<ApiEntry>(&self.api, LEDGER, self.last_entry.as_deref()).await?;
        let entries = entries.into_iter().map(Entry::from).collect();
        let rows = calls.into_iter().map(Row::from).collect();
        Ok(Books { before: self.before, after, rows, entries })
    }
}

async fn wallet(api: &Http) -> Result<Wallet, BooksError> {
    let ApiWallet { balance_minor, held_minor } = api.get_json("/v1/wallet").await?;
    Ok(Wallet { balance: balance_minor, held: held_minor })
}

async fn is_live(api: &Http) -> Result<bool, BooksError> {
    let page: Page<ApiCall> = api.get_json("/v1/calls?status=ringing,answered&limit=1").await?;
    Ok(!page.data.is_empty())
}

async fn newest<T: Listed + serde::de::DeserializeOwned>(
    api: &Http,
    list: &str,
) -> Result<Option<String>, BooksError> {
    let page: Page<T> = api.get_json(&format!("{list}?limit=1")).await?;
    Ok(page.data.first().map(|row| row.id().to_owned()))
}

/// The rows that are newer than `last`, the newest first.
async fn since<T: Listed + serde::de::DeserializeOwned>(
    api: &Http,
    list: &str,
    last: Option<&str>,
) -> Result<Vec<T>, BooksError> {
    let mut rows = Vec::new();
    let mut path = format!("{list}?limit=100");
    loop {
        let Page { data, next_cursor } = api.get_json::<Page<T>>(&path).await?;
        for row in data {
            if Some(row.id()) == last {
                return Ok(rows);
            }
            rows.push(row);
        }
        match next_cursor {
            Some(cursor) => path = format!("{list}?limit=100&cursor={cursor}"),
            None if last.is_none() => return Ok(rows),
            None => return Err(BooksError::Rewritten),
        }
    }
}

impl From<ApiCall> for Row {
    fn from(call: ApiCall) -> Self {
        Self {
            id: call.id,
            called: call.remote_e164.unwrap_or_default(),
            answered: call.answered_at.is_some(),
            ended: call.ended_at.is_some(),
            seconds: call.duration_seconds.unwrap_or_default(),
            per_minute: call.rate_per_minute_minor.map(|rate| rate.to_string()),
            cost: call.cost_minor,
        }
    }
}

impl From<ApiEntry> for Entry {
    fn from(entry: ApiEntry) -> Self {
        Self {
            is_debit: entry.kind == "debit",
            amount: entry.amount_minor,
            balance_after: entry.balance_after_minor,
            call: entry.call_id,
        }
    }
}
