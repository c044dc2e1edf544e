//! The demo's customer: one workspace with a claimed number and KES 100. A second start finds it
//! again with its calls and its balance, and makes a new key in place of the former.

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
use secrecy::ExposeSecret;

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
    workspace: WorkspaceId,
    key: ApiKey,
}

impl Customer {
    /// Finds or makes it in the configured database.
    pub(super) fn of(sources: &Sources) -> Result<Self, CustomerError> {
        let url = Config::database(sources).map_err(CustomerError::Configuration)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let store = open(url.expose_secret(), Role::Tool).await?;
            let found = Self::in_store(&store).await;
            store.close().await;
            found
        })
    }

    async fn in_store(store: &Store) -> Result<Self, CustomerError> {
        let directory = store.directory().await?;
        let key = ApiKey::generate();
        let new_key = NewApiKey {
            hash: key.hash().0,
            name: "demo".to_owned(),
            scopes: Scope::of_a_customer(),
            expires_at: None,
        };
        let known = directory.workspaces.iter().find(|(_, each)| is_the_demos(each));
        let Some((&workspace, _)) = known else {
            let number = NUMBER.parse().expect("the demo's number is one");
            let new = NewWorkspace {
                id: None,
                name: NAME.to_owned(),
                balance: BALANCE,
                numbers: vec![number],
                key: Some(new_key),
            };
            let workspace = store.create_workspace(new).await?;
            return Ok(Self { workspace, key });
        };
        for former in directory.keys.values().filter(|key| key.workspace == workspace) {
            if former.revoked_at.is_none() {
                store.revoke_key(workspace, former.id).await?;
            }
        }
        store.create_key(workspace, &new_key).await?;
        Ok(Self { workspace, key })
    }

    pub(super) fn api_key(&self) -> &ApiKey {
        &self.key
    }

    pub(super) fn workspace(&self) -> WorkspaceId {
        self.workspace
    }
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
