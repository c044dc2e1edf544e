//! `wallet credit`: money comes in.

use std::process::ExitCode;

use sautikit_core::money::Minor;
use sautikit_net::random;
use serde::Serialize;

use super::{Missing, on_store};
use crate::cli::CreditWallet;
use crate::config::Sources;

#[derive(Serialize)]
struct Shown {
    workspace_id: String,
    entry_id: String,
    amount_minor: i64,
    balance_after_minor: i64,
    idempotency_key: String,
    /// The key was there before, with this amount: nothing was changed.
    replayed: bool,
}

pub(crate) fn credit(sources: &Sources, credit: CreditWallet) -> ExitCode {
    on_store(sources, "wallet credit", Missing::Refuse, async |store| {
        let key = credit.idempotency_key.unwrap_or_else(|| format!("cli:{}", random::hex::<16>()));
        let amount = Minor::new(credit.amount_minor);
        let done = store.credit(credit.workspace, amount, &key, &credit.description).await?;
        Ok(Shown {
            workspace_id: credit.workspace.to_string(),
            entry_id: done.entry.to_string(),
            amount_minor: amount.get(),
            balance_after_minor: done.balance_after.get(),
            idempotency_key: key,
            replayed: done.existed,
        })
    })
}
