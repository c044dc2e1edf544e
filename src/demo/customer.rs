//! The demo's customer: one workspace with a claimed number and KES 100. A second start finds it
//! again with its calls and its balance, and makes a new key; the former are revoked once it runs.

use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use sautikit_core::ids::WorkspaceId;
use sautikit_core::money::Minor;
use sautikit_net::api_key::ApiKey;
use sautikit_net::random;
use sautikit_store::{
    NewApiKey, NewWorkspace, OpenError, Role, Scope, Store, StoreError, Workspace, open,
};
use secrecy::{ExposeSecret, SecretString};

use crate::config::{Config, Problems, Sources};

/// What the workspace is called; it is found again by it.
const NAME: &str = "Demo";
const NUMBER: &str = "+254700000001";
const BALANCE: Minor = Minor::new(10_000);

/// Why there is no customer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CustomerError {
    #[error("{0}")]
    Configuration(Problems),
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error("the demo's workspace cannot be had: {0}; remove data/demo.db to start afresh")]
    Store(#[from] StoreError),
    #[error("the system refused a runtime: {0}")]
    Runtime(#[from] std::io::Error),
}

/// The workspace and its key for this run.
pub(super) struct Customer {
    database: SecretString,
    workspace: WorkspaceId,
    key: ApiKey,
}

impl Customer {
    /// Finds or makes it in the configured database.
    pub(super) fn of(sources: &Sources) -> Result<Self, CustomerError> {
        let database = Config::database(sources).map_err(CustomerError::Configuration)?;
        let key = ApiKey::generate();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let workspace = runtime.block_on(async {
            let store = open(database.expose_secret(), Role::Tool).await?;
            let workspace = workspace_with(&store, &key).await;
            store.close().await;
            workspace.map_err(CustomerError::Store)
        })?;
        Ok(Self { database, workspace, key })
    }

    /// Revokes the keys of earlier runs. To be called when ports and database are this run's: until
    /// then an earlier run may be alive, and its page lives by its key.
    pub(super) fn retire_former_keys(&self) -> impl Future<Output = ()> + use<> {
        let (database, workspace, own) = (self.database.clone(), self.workspace, self.key.hash().0);
        async move {
            let retired = async {
                let store = open(database.expose_secret(), Role::Tool).await?;
                let retired = retire_all_but(&store, workspace, &own).await;
                store.close().await;
                retired.map_err(CustomerError::Store)
            };
            if let Err(error) = retired.await {
                tracing::warn!("the keys of earlier demos stay good until the next: {error}");
            }
        }
    }

    pub(super) fn api_key(&self) -> &ApiKey {
        &self.key
    }

    pub(super) fn workspace(&self) -> WorkspaceId {
        self.workspace
    }
}

/// The demo's workspace, found or made, with this key.
async fn workspace_with(store: &Store, key: &ApiKey) -> Result<WorkspaceId, StoreError> {
    let directory = store.directory().await?;
    let new_key = NewApiKey {
        hash: key.hash().0,
        name: "demo".to_owned(),
        scopes: Scope::of_a_customer(),
        expires_at: None,
    };
    let known = directory.workspaces.iter().find(|(_, each)| is_the_demos(each));
    if let Some((&workspace, _)) = known {
        store.create_key(workspace, &new_key).await?;
        return Ok(workspace);
    }
    let number = NUMBER.parse().expect("the demo's number is one");
    let new = NewWorkspace {
        id: None,
        name: NAME.to_owned(),
        balance: BALANCE,
        numbers: vec![number],
        key: Some(new_key),
    };
    store.create_workspace(new).await
}

async fn retire_all_but(
    store: &Store,
    workspace: WorkspaceId,
    own: &[u8; 32],
) -> Result<(), StoreError> {
    let directory = store.directory().await?;
    for (hash, former) in &directory.keys {
        if former.workspace == workspace && former.revoked_at.is_none() && hash != own {
            store.revoke_key(workspace, former.id).await?;
        }
    }
    Ok(())
}

fn is_the_demos(workspace: &Workspace) -> bool {
    workspace.name == NAME && workspace.numbers.iter().any(|number| number.as_str() == NUMBER)
}

/// The signing key of this machine's demo: made at the first start, readable by its owner alone.
pub(super) fn signing_key(folder: &Path) -> std::io::Result<Vec<u8>> {
    let path = folder.join("signing.key");
    match std::fs::read(&path) {
        Ok(key) => Ok(key.trim_ascii().to_vec()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let key = random::hex::<32>();
            let mut file =
                std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
            file.write_all(key.as_bytes())?;
            Ok(key.into_bytes())
        }
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_second_start_makes_a_key_beside_the_former_and_retires_it_later() {
        let folder = std::env::temp_dir().join(format!("sautikit-demo-{}", random::hex::<8>()));
        std::fs::create_dir_all(&folder).unwrap();
        let url = format!("sqlite://{}?mode=rwc", folder.join("demo.db").display());
        let store = open(&url, Role::Tool).await.unwrap();
        let (first, second) = (ApiKey::generate(), ApiKey::generate());
        let workspace = workspace_with(&store, &first).await.unwrap();
        assert_eq!(workspace_with(&store, &second).await.unwrap(), workspace);
        let is_good = async |key: &ApiKey| {
            store.directory().await.unwrap().keys[&key.hash().0].revoked_at.is_none()
        };
        assert!(is_good(&first).await && is_good(&second).await);
        retire_all_but(&store, workspace, &second.hash().0).await.unwrap();
        assert!(!is_good(&first).await && is_good(&second).await);
        store.close().await;
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
