//! `reconcile`: proves that the ledgers, the calls and the rates agree, and names what differs.

use std::process::ExitCode;

use sautikit_core::ids::WorkspaceId;
use sautikit_store::{Difference, Reconciliation};
use secrecy::ExposeSecret;
use serde::Serialize;

use super::{Missing, OperateError, fail, print, run};
use crate::config::{Config, Sources};

const NAME: &str = "reconcile";

#[derive(Serialize)]
struct Summary {
    workspaces: u64,
    calls: u64,
    open_calls: u64,
    entries: u64,
    credited_minor: i128,
    debited_minor: i128,
    balance_minor: i128,
    differences: u64,
}

#[derive(Serialize)]
struct Shown {
    difference: &'static str,
    workspace_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    call_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    entry_id: Option<String>,
    expected: i64,
    found: i64,
}

impl From<&Difference> for Shown {
    fn from(difference: &Difference) -> Self {
        Self {
            difference: difference.what.as_str(),
            workspace_id: difference.workspace.to_string(),
            call_id: difference.call.map(|id| id.to_string()),
            entry_id: difference.entry.map(|id| id.to_string()),
            expected: difference.expected,
            found: difference.found,
        }
    }
}

/// One line for each difference, then the summary; code 0 where nothing differs.
pub(crate) fn reconcile(sources: &Sources, workspace: Option<WorkspaceId>) -> ExitCode {
    let url = match Config::database(sources) {
        Ok(url) => url,
        Err(problems) => return crate::refuse(&problems),
    };
    let found: Result<Reconciliation, OperateError> =
        run(url.expose_secret(), Missing::Refuse, async |store| {
            Ok(store.reconcile(workspace).await?)
        });
    match found {
        Ok(found) => show(&found),
        Err(error) => fail(NAME, &error),
    }
}

fn show(found: &Reconciliation) -> ExitCode {
    let mut lines =
        found.differences.iter().map(|difference| print(NAME, &Shown::from(difference)));
    let all_shown = lines.all(|line| line == ExitCode::SUCCESS);
    let summary = print(
        NAME,
        &Summary {
            workspaces: found.workspaces,
            calls: found.calls,
            open_calls: found.open_calls,
            entries: found.entries,
            credited_minor: found.credited,
            debited_minor: found.debited,
            balance_minor: found.balance,
            differences: found.difference_count,
        },
    );
    if found.difference_count > 0 || !all_shown {
        return ExitCode::FAILURE;
    }
    summary
}
