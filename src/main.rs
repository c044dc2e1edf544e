//! Sautikit Gateway: the whole life of the process, on one page.

mod capacity;
mod cli;
mod config;
mod demo;
mod drain;
mod logging;
mod measures;
mod operate;
mod serve;
mod web;

use std::process::ExitCode;

use clap::Parser;

use cli::{Cli, Command, ConfigCommand};
use config::{Config, EXIT_USAGE, Sources};

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return usage(&error),
    };
    let sources = Sources::of_process(cli.config.as_deref());
    match cli.command {
        Command::Serve => serve::serve(cli.config),
        Command::Demo => demo::demo(sources),
        Command::Config(command) => show(&sources, command),
        Command::Operate(command) => operate::operate(&sources, command),
    }
}

/// Help and version go to standard output with code 0; a mistake to standard error with 64.
fn usage(error: &clap::Error) -> ExitCode {
    let code = if error.use_stderr() { ExitCode::from(EXIT_USAGE) } else { ExitCode::SUCCESS };
    let printed = error.print();
    if printed.is_ok() { code } else { ExitCode::FAILURE }
}

fn show(sources: &Sources, command: ConfigCommand) -> ExitCode {
    let config = match Config::parse(sources) {
        Ok(config) => config,
        Err(problems) => return refuse(&problems),
    };
    for warning in &config.warnings {
        eprintln!("warning: {warning}");
    }
    match command {
        ConfigCommand::Check => println!("the configuration is good"),
        ConfigCommand::Print => print!("{}", config::print::print(sources, &config)),
    }
    ExitCode::SUCCESS
}

/// Everything that is wrong with the configuration, one line each, and the code that says so.
fn refuse(problems: &config::Problems) -> ExitCode {
    eprint!("{problems}");
    ExitCode::from(EXIT_USAGE)
}
