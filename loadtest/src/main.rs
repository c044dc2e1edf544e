//! `sautikit-loadtest`: a simulated carrier, and a load of simulated browsers.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use sautikit_loadtest::{calls, carrier, disk};

/// Tools to try and to measure a gateway with.
#[derive(Debug, Parser)]
#[command(version, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs a simulated carrier until SIGTERM. What it does follows from the last two digits of the
    /// called number: 02 rings for ever, 03 is busy, 04 declines, 05 says nothing, 06 answers and
    /// hangs up after 3 s, and all others answer. One JSON line for each call that ended.
    Carrier(carrier::Settings),
    /// Opens sessions as browsers would, calls at a planned rate through a carrier of its own, says
    /// what it took, and proves with --api that every call was billed once and right.
    Calls(Box<calls::Settings>),
    /// Opens sessions as browsers would, registers and holds them, and says what it took.
    Sessions(Box<calls::SessionSettings>),
    /// Starts a gateway, calls at a planned rate, and loses sockets, silences the carrier, kills the
    /// gateway and locks its database meanwhile: no call may be lost outside of that, all books must
    /// agree at the end, and the gateway must not have grown.
    Soak(Box<calls::SoakSettings>),
    /// Measures what a small durable write takes in a folder: what a ledger waits for.
    Disk(disk::Settings),
}

/// What could not be run at all; calls that failed end with 1.
const NOT_RUN: u8 = 2;

fn main() -> ExitCode {
    // Each session is a file, and each call with audio a few; what cannot be raised, its use tells.
    let _ = rlimit::increase_nofile_limit(u64::MAX);
    let outcome = match Cli::parse().command {
        Command::Carrier(settings) => {
            carrier::run(&settings).map(|()| true).map_err(|error| error.to_string())
        }
        Command::Calls(settings) => calls::run(&settings).map_err(|error| error.to_string()),
        Command::Sessions(settings) => {
            calls::run_sessions(&settings).map_err(|error| error.to_string())
        }
        Command::Soak(settings) => calls::run_soak(&settings).map_err(|error| error.to_string()),
        Command::Disk(settings) => {
            disk::run(&settings).map(|()| true).map_err(|error| error.to_string())
        }
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("sautikit-loadtest: {error}");
            ExitCode::from(NOT_RUN)
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
