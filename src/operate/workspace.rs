//! `workspace create`: a tenant with its numbers, its first balance and its first key.

use std::process::ExitCode;

use sautikit_core::e164::E164;
use sautikit_core::money::Minor;
use sautikit_net::api_key::ApiKey;
use sautikit_store::{NewApiKey, NewWorkspace, Scope, Store};
use serde::Serialize;

use super::{Missing, OperateError, on_store};
use crate::cli::CreateWorkspace;
use crate::config::Sources;

/// What is printed: the one place where the key is shown.
#[derive(Serialize)]
struct Created {
    workspace_id: String,
    api_key: String,
    numbers: Vec<String>,
}

/// Makes the workspace and prints it as JSON on standard output.
pub(crate) fn create(sources: &Sources, create: CreateWorkspace) -> ExitCode {
    on_store(sources, "workspace create", Missing::Make, async |store| insert(store, create).await)
}

async fn insert(store: &Store, create: CreateWorkspace) -> Result<Created, OperateError> {
    let key = ApiKey::generate();
    let mut numbers = Vec::new();
    for number in create.numbers {
        if !numbers.contains(&number) {
            numbers.push(number);
        }
    }
    let shown = numbers.iter().map(E164::as_str).map(str::to_owned).collect();
    let new = NewWorkspace {
        id: create.id,
        name: create.name,
        balance: Minor::new(create.balance_minor),
        numbers,
        key: Some(NewApiKey {
            hash: key.hash().0,
            name: "first key".to_owned(),
            scopes: Scope::of_a_customer(),
            expires_at: None,
        }),
    };
    let id = store.create_workspace(new).await?;
    Ok(Created { workspace_id: id.to_string(), api_key: key.expose().to_owned(), numbers: shown })
}

#[cfg(test)]
mod tests {
    use sautikit_store::{Role, open};

    use super::super::run;
    use super::*;

    fn made(url: &str, create: CreateWorkspace) -> Result<Created, OperateError> {
        run(url, Missing::Make, async |store| insert(store, create).await)
    }

    fn create(id: Option<&str>, numbers: &[&str]) -> CreateWorkspace {
        CreateWorkspace {
            name: "Shop".to_owned(),
            id: id.map(|id| id.parse().unwrap()),
            balance_minor: 10_000,
            numbers: numbers.iter().map(|number| number.parse().unwrap()).collect(),
        }
    }

    /// The address of a database that goes away with the guard.
    fn database() -> (Folder, String) {
        let folder = Folder(
            std::env::temp_dir()
                .join(format!("sautikit-workspace-{}", sautikit_net::random::hex::<8>())),
        );
        let url = format!("sqlite://{}/new/sautikit.db?mode=rwc", folder.0.display());
        (folder, url)
    }

    struct Folder(std::path::PathBuf);

    impl Drop for Folder {
        fn drop(&mut self) {
            let _gone_already = std::fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn the_database_is_made_and_the_key_works_there() {
        let (_folder, url) = database();
        let created = made(&url, create(None, &["+254700000001", "+254700000001"])).unwrap();
        assert_eq!(created.numbers, ["+254700000001"], "a number given twice counts once");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let store = open(&url, Role::Tool).await.unwrap();
            let directory = store.directory().await.unwrap();
            let key = ApiKey::parse(&created.api_key).unwrap();
            let found = &directory.keys[&key.hash().0];
            assert_eq!(found.workspace.to_string(), created.workspace_id);
            assert!(!found.scopes.contains(&Scope::WalletCredit));
            let wallet = store.wallet(found.workspace).await.unwrap().unwrap();
            assert_eq!(wallet.balance, Minor::new(10_000));
            store.close().await;
        });
    }

    #[test]
    fn a_taken_id_or_number_is_refused_and_nothing_is_made() {
        let (_folder, url) = database();
        let id = "01890a5d-ac96-774b-bcce-b302099a8057";
        made(&url, create(Some(id), &["+254700000001"])).unwrap();
        let taken_id = made(&url, create(Some(id), &[])).err().unwrap().to_string();
        assert!(taken_id.contains("workspace exists already; choose another"), "{taken_id}");
        let taken_number = made(&url, create(None, &["+254700000001"])).err().unwrap().to_string();
        assert!(taken_number.contains("number exists already"), "{taken_number}");
    }
}
