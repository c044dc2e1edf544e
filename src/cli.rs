//! The command line: what there is to say, and nothing of what it does.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use sautikit_core::e164::E164;
use sautikit_core::ids::{ApiKeyId, WorkspaceId};
use sautikit_store::Scope;

/// A SIP gateway for calls from browsers: WebRTC on one side, carriers on the other, a prepaid
/// wallet between.
#[derive(Debug, Parser)]
#[command(version, arg_required_else_help = true)]
pub(crate) struct Cli {
    /// The TOML file with trunks, rates and limits; wins over SAUTIKIT_CONFIG.
    #[arg(long, global = true, value_name = "PATH")]
    pub(crate) config: Option<PathBuf>,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Runs the gateway until SIGTERM.
    Serve,
    /// Runs a gateway, a simulated carrier and a page with a telephone on this machine.
    Demo,
    /// The configuration.
    #[command(subcommand)]
    Config(ConfigCommand),
    #[command(flatten)]
    Operate(Operate),
}

/// What works on the database, beside a running gateway.
#[derive(Debug, Subcommand)]
pub(crate) enum Operate {
    /// Workspaces: the tenants.
    #[command(subcommand)]
    Workspace(WorkspaceCommand),
    /// Numbers that workspaces call from.
    #[command(subcommand)]
    Number(NumberCommand),
    /// The prepaid wallets.
    #[command(subcommand)]
    Wallet(WalletCommand),
    /// Keys of the HTTP API.
    #[command(subcommand)]
    ApiKey(ApiKeyCommand),
    /// Proves that ledgers, calls and rates agree; names what differs, and then ends with code 1.
    Reconcile {
        /// Only this workspace.
        #[arg(long, value_name = "UUID")]
        workspace: Option<WorkspaceId>,
    },
    /// Brings the database to this version, as every start of a gateway does.
    Migrate {
        /// Changes nothing; ends with code 1 where a migration is pending.
        #[arg(long)]
        check: bool,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum NumberCommand {
    /// Claims a number for a workspace.
    Add(AddNumber),
}

#[derive(Debug, Args)]
pub(crate) struct AddNumber {
    /// The number, as +254700000001.
    #[arg(value_name = "E164")]
    pub(crate) number: E164,
    /// The workspace that may call from it.
    #[arg(long, value_name = "UUID")]
    pub(crate) workspace: WorkspaceId,
}

#[derive(Debug, Subcommand)]
pub(crate) enum WalletCommand {
    /// Posts a top-up. A running call that is short of money goes on.
    Credit(CreditWallet),
}

#[derive(Debug, Args)]
pub(crate) struct CreditWallet {
    /// Whose wallet.
    #[arg(long, value_name = "UUID")]
    pub(crate) workspace: WorkspaceId,
    /// How much, in minor units: 10000 is KES 100.
    #[arg(long, value_name = "M", value_parser = clap::value_parser!(i64).range(1..))]
    pub(crate) amount_minor: i64,
    /// Posted once for each key, however often the command runs; a new one where it is left out.
    #[arg(long, value_name = "KEY", value_parser = idempotency_key)]
    pub(crate) idempotency_key: Option<String>,
    /// What the customer reads in the statement.
    #[arg(long, value_name = "TEXT", default_value = "Top-up", value_parser = short_text)]
    pub(crate) description: String,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ApiKeyCommand {
    /// Makes an API key and prints it as JSON. The key is shown once.
    Create(CreateApiKey),
    /// Refuses an API key from now on.
    Revoke(RevokeApiKey),
}

#[derive(Debug, Args)]
pub(crate) struct CreateApiKey {
    /// Whom it speaks for.
    #[arg(long, value_name = "UUID")]
    pub(crate) workspace: WorkspaceId,
    /// A name for people.
    #[arg(long, value_parser = short_text)]
    pub(crate) name: String,
    /// What it may do, as wallet.credit; repeat it for more. Without it all but wallet.credit.
    #[arg(long = "scope", value_name = "SCOPE", value_parser = scope)]
    pub(crate) scopes: Vec<Scope>,
    /// It is refused after so many days.
    #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u32).range(1..=3650))]
    pub(crate) expires_in_days: Option<u32>,
}

#[derive(Debug, Args)]
pub(crate) struct RevokeApiKey {
    /// Whose key.
    #[arg(long, value_name = "UUID")]
    pub(crate) workspace: WorkspaceId,
    /// The key's id, as `api-key create` printed it.
    #[arg(long, value_name = "UUID")]
    pub(crate) id: ApiKeyId,
}

#[derive(Debug, Subcommand)]
pub(crate) enum WorkspaceCommand {
    /// Makes a workspace with its first API key, and prints both as JSON. The key is shown once.
    Create(CreateWorkspace),
}

#[derive(Debug, Args)]
pub(crate) struct CreateWorkspace {
    /// A name for people.
    #[arg(long, value_parser = short_text)]
    pub(crate) name: String,
    /// The workspace's UUID; a new one where it is left out.
    #[arg(long, value_name = "UUID")]
    pub(crate) id: Option<WorkspaceId>,
    /// What its wallet starts with, in minor units: 10000 is KES 100.
    #[arg(long, value_name = "M", default_value_t = 0, value_parser = clap::value_parser!(i64).range(0..))]
    pub(crate) balance_minor: i64,
    /// A number it may call from, as +254700000001; repeat it for more. The first is its default.
    #[arg(long = "number", value_name = "E164")]
    pub(crate) numbers: Vec<E164>,
}

#[derive(Debug, Clone, Copy, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Says whether a gateway would start with this configuration, and what is wrong with it.
    Check,
    /// Prints what a gateway would run with: every setting and every default, secrets hidden.
    Print,
}

const TEXT_CHARS_MAX: usize = 100;
const IDEMPOTENCY_KEY_BYTES_MAX: usize = 255;

fn short_text(text: &str) -> Result<String, &'static str> {
    let text = text.trim();
    let length = text.chars().count();
    if !(1..=TEXT_CHARS_MAX).contains(&length) || text.chars().any(char::is_control) {
        return Err("it has 1 to 100 characters, none of them a control character");
    }
    Ok(text.to_owned())
}

fn idempotency_key(text: &str) -> Result<String, &'static str> {
    let fits = (1..=IDEMPOTENCY_KEY_BYTES_MAX).contains(&text.len());
    if !fits || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err("a key has 1 to 255 printable ASCII characters without spaces");
    }
    Ok(text.to_owned())
}

fn scope(word: &str) -> Result<Scope, String> {
    word.parse().map_err(|_| {
        let all: Vec<_> = Scope::ALL.iter().map(|scope| scope.as_str()).collect();
        format!("no such scope; there are {}", all.join(", "))
    })
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn parse(line: &str) -> Result<Cli, clap::Error> {
        Cli::try_parse_from(line.split_whitespace())
    }

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn workspace_create_takes_id_balance_and_many_numbers() {
        let cli = parse(
            "g workspace create --name Shop --id 01890a5d-ac96-774b-bcce-b302099a8057 \
             --balance-minor 10000 --number +254700000001 --number 254700000002",
        )
        .unwrap();
        let Command::Operate(Operate::Workspace(WorkspaceCommand::Create(create))) = cli.command
        else {
            panic!("another command");
        };
        assert_eq!(create.name, "Shop");
        assert_eq!(create.id.unwrap().to_string(), "01890a5d-ac96-774b-bcce-b302099a8057");
        assert_eq!(create.balance_minor, 10000);
        let numbers: Vec<_> = create.numbers.iter().map(E164::as_str).collect();
        assert_eq!(numbers, ["+254700000001", "+254700000002"]);
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        for line in [
            "g",
            "g workspace create",
            "g workspace create --name x --balance-minor -1",
            "g workspace create --name x --number 0722000001",
            "g workspace create --name x --id 7",
            "g number add 0722000001 --workspace 01890a5d-ac96-774b-bcce-b302099a8057",
            "g number add +254700000001",
            "g wallet credit --workspace 01890a5d-ac96-774b-bcce-b302099a8057 --amount-minor 0",
            "g api-key create --workspace 01890a5d-ac96-774b-bcce-b302099a8057 --name a --scope x",
            "g reconcile --workspace shop",
            "g config",
            "g config check extra",
        ] {
            assert!(parse(line).is_err(), "{line}");
        }
    }

    #[test]
    fn the_configuration_is_named_before_or_after_the_command() {
        for line in ["g --config a.toml config check", "g config check --config a.toml"] {
            assert_eq!(parse(line).unwrap().config.unwrap().to_str(), Some("a.toml"), "{line}");
        }
    }
}
