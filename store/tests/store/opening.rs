//! Who may open the database, and what is said when it cannot be opened.

use std::os::unix::fs::PermissionsExt;

use crate::common::{Place, number, workspace};
use sautikit_core::money::Minor;
use sautikit_store::{NewApiKey, NewWorkspace, OpenError, Role, Scope, WorkspaceStatus, open};

fn is_one_line(error: &OpenError) -> String {
    let text = error.to_string();
    assert!(!text.contains('\n') && text.len() < 400, "{text}");
    text
}

#[tokio::test]
async fn a_second_server_is_refused_and_a_tool_is_not() {
    let place = Place::new();
    let server = place.serve().await;
    let error = open(&place.url(), Role::Serve).await.unwrap_err();
    assert!(is_one_line(&error).contains("already serves"), "{error}");
    let tool = open(&place.url(), Role::Tool).await.unwrap();
    drop(tool);
    drop(server);
    place.serve().await;
}

#[tokio::test]
async fn a_second_server_is_refused_by_another_name_of_the_file_too() {
    let place = Place::new();
    let alias = place.file().with_file_name("alias.db");
    std::fs::create_dir_all(alias.parent().unwrap()).unwrap();
    std::os::unix::fs::symlink(place.file(), &alias).unwrap();
    let url = format!("sqlite://{}?mode=rwc", alias.display());
    // Whichever comes first, and though the file is made by it.
    let server = open(&url, Role::Serve).await.unwrap();
    let error = open(&place.url(), Role::Serve).await.unwrap_err();
    assert!(is_one_line(&error).contains("already serves"), "{error}");
    let second = place.file().with_file_name("second.db");
    std::fs::hard_link(place.file(), &second).unwrap();
    let second_url = format!("sqlite://{}?mode=rwc", second.display());
    for url in [&second_url, &place.url()] {
        let error = open(url, Role::Serve).await.unwrap_err();
        assert!(is_one_line(&error).contains("hard link"), "{error}");
    }
    // Tools work on: a link beside a running gateway is no reason to leave its operator alone.
    drop(open(&place.url(), Role::Tool).await.unwrap());
    std::fs::remove_file(second).unwrap();
    drop(server);
    let server = place.serve().await;
    let error = open(&url, Role::Serve).await.unwrap_err();
    assert!(is_one_line(&error).contains("already serves"), "{error}");
    drop(server);
}

#[tokio::test]
async fn what_a_tool_writes_moves_the_servers_directory() {
    let place = Place::new();
    let server = place.serve().await;
    let tool = open(&place.url(), Role::Tool).await.unwrap();
    let mut version = server.directory_version().await.unwrap();
    let mut moved = async |what: &str| {
        let now = server.directory_version().await.unwrap();
        assert!(now > version, "{what}");
        version = now;
    };
    let key = NewApiKey {
        hash: [7; 32],
        name: "first".into(),
        scopes: Scope::of_a_customer(),
        expires_at: None,
    };
    let new = NewWorkspace {
        id: None,
        name: "Acme".into(),
        balance: Minor::new(10_000),
        numbers: vec![number("+254700000001"), number("+254700000002")],
        key: Some(key),
    };
    let id = tool.create_workspace(new).await.unwrap();
    moved("workspace").await;
    tool.add_number(id, &number("+254700000003")).await.unwrap();
    moved("number").await;
    tool.credit(id, Minor::new(5), "k", "").await.unwrap();
    moved("credit").await;
    tool.set_status(id, WorkspaceStatus::Suspended).await.unwrap();
    moved("status").await;

    let directory = server.directory().await.unwrap();
    let acme = &directory.workspaces[&id];
    assert_eq!(acme.numbers.len(), 3);
    assert_eq!(acme.default_number, Some(number("+254700000001")));
    assert_eq!(acme.status, WorkspaceStatus::Suspended);
    let key = &directory.keys[&[7; 32]];
    assert_eq!((key.workspace, key.revoked_at), (id, None));
    assert!(key.scopes.contains(&Scope::CallsRead) && !key.scopes.contains(&Scope::WalletCredit));

    assert!(tool.revoke_key(id, key.id).await.unwrap());
    moved("revocation").await;
    let other = workspace(&tool, 0).await;
    assert!(!tool.revoke_key(other, key.id).await.unwrap(), "another workspace's key");
    assert!(server.directory().await.unwrap().keys[&[7; 32]].revoked_at.is_some());
}

#[tokio::test]
async fn a_number_belongs_to_one_workspace() {
    let place = Place::new();
    let store = place.serve().await;
    let (first, second) = (workspace(&store, 0).await, workspace(&store, 0).await);
    store.add_number(first, &number("+254700000001")).await.unwrap();
    assert!(store.add_number(second, &number("+254700000001")).await.is_err());
}

#[tokio::test]
async fn a_directory_that_is_made_is_its_owners_alone() {
    let place = Place::new();
    let _store = place.serve().await;
    let mode = std::fs::metadata(&place.directory).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
}

#[tokio::test]
async fn what_was_written_is_there_after_a_reopening() {
    let place = Place::new();
    let store = place.serve().await;
    let id = workspace(&store, 77).await;
    drop(store);
    let store = place.serve().await;
    assert_eq!(store.wallet(id).await.unwrap().unwrap().balance, Minor::new(77));
}

#[tokio::test]
async fn postgres_is_refused_without_printing_its_password() {
    for url in ["postgres://u:secret@h/db", "postgresql://u:secret@h/db"] {
        let error = open(url, Role::Serve).await.unwrap_err();
        assert!(matches!(error, OpenError::PostgresNotYet));
        assert!(!is_one_line(&error).contains("secret"));
    }
}

#[tokio::test]
async fn urls_that_would_lose_money_are_refused() {
    for url in ["sqlite::memory:", "sqlite://x?mode=memory", "sqlite://x?mode=ro", "mysql://x", ""]
    {
        let error = open(url, Role::Serve).await.unwrap_err();
        assert!(matches!(error, OpenError::Url { .. }), "{url}: {error}");
        is_one_line(&error);
    }
    let place = Place::new();
    let url = format!("sqlite://{}", place.file().display());
    let error = open(&url, Role::Serve).await.unwrap_err();
    assert!(is_one_line(&error).contains("mode=rwc"), "{error}");
    let folder = format!("sqlite://{}?mode=rwc", std::env::temp_dir().display());
    let error = open(&folder, Role::Serve).await.unwrap_err();
    assert!(is_one_line(&error).contains("names a directory"), "{error}");
}

#[tokio::test]
async fn a_damaged_file_is_told_from_a_missing_one() {
    let place = Place::new();
    std::fs::create_dir_all(&place.directory).unwrap();
    std::fs::write(place.file(), vec![b'x'; 8192]).unwrap();
    let error = open(&place.url(), Role::Serve).await.unwrap_err();
    assert!(matches!(error, OpenError::Corrupt { .. }), "{error:?}");
    assert!(is_one_line(&error).contains("backup"), "{error}");
}

#[tokio::test]
async fn a_database_of_a_newer_version_is_left_alone() {
    let place = Place::new();
    drop(place.serve().await);
    let mut raw = place.raw().await;
    sqlx::query(
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
         VALUES (99, 'later', 1, x'00', 0)",
    )
    .execute(&mut raw)
    .await
    .unwrap();
    let error = open(&place.url(), Role::Serve).await.unwrap_err();
    assert!(is_one_line(&error).contains("newer version"), "{error}");
}

#[tokio::test]
async fn a_directory_that_cannot_be_made_is_named() {
    let place = Place::new();
    std::fs::write(&place.directory, "a file").unwrap();
    let error = open(&place.url(), Role::Serve).await.unwrap_err();
    assert!(is_one_line(&error).contains("writable"), "{error}");
    std::fs::remove_file(&place.directory).unwrap();
}
