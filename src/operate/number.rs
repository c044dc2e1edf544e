//! `number add`: a workspace claims a number.

use std::process::ExitCode;

use serde::Serialize;

use super::{Missing, on_store};
use crate::cli::AddNumber;
use crate::config::Sources;

#[derive(Serialize)]
struct Added {
    workspace_id: String,
    number_id: String,
    number: String,
}

pub(crate) fn add(sources: &Sources, add: AddNumber) -> ExitCode {
    on_store(sources, "number add", Missing::Refuse, async |store| {
        let id = store.add_number(add.workspace, &add.number).await?;
        Ok(Added {
            workspace_id: add.workspace.to_string(),
            number_id: id.to_string(),
            number: add.number.as_str().to_owned(),
        })
    })
}
