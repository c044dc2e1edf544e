//! The command line: what there is to say, and nothing of what it does.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use sautikit_core::e164::E164;
use sautikit_core::ids::WorkspaceId;

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
    /// Workspaces: the tenants.
    #[command(subcommand)]
    Workspace(WorkspaceCommand),
    /// The configuration.
    #[command(subcommand)]
    Config(ConfigCommand),
}

#[derive(Debug, Subcommand)]
pub(crate) enum WorkspaceCommand {
    /// Makes a workspace with its first API key, and prints both as JSON. The key is shown once.
    Create(CreateWorkspace),
}

#[derive(Debug, Args)]
pub(crate) struct CreateWorkspace {
    /// A name for people.
    #[arg(long, value_parser = workspace_name)]
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

const WORKSPACE_NAME_CHARS_MAX: usize = 100;

fn workspace_name(text: &str) -> Result<String, &'static str> {
    let name = text.trim();
    let length = name.chars().count();
    if !(1..=WORKSPACE_NAME_CHARS_MAX).contains(&length) || name.chars().any(char::is_control) {
        return Err("a name has 1 to 100 characters, none of them a control character");
    }
    Ok(name.to_owned())
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
        let Command::Workspace(WorkspaceCommand::Create(create)) = cli.command else {
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
