//! Exit codes are an API: the table of sysexits(3), which systemd knows by name.

use std::process::ExitCode;

/// How a program ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Done, or: yes.
    Done = 0,
    /// The answer is no.
    No = 1,
    Usage = 64,
    DataErr = 65,
    Unavailable = 69,
    Software = 70,
    OsErr = 71,
    CantCreate = 73,
    IoErr = 74,
    /// Trying again may help.
    TempFail = 75,
    Protocol = 76,
    NoPerm = 77,
    Config = 78,
}

/// Why a program ends early: a code for programs, a sentence for people.
#[derive(Debug)]
pub struct Failure {
    pub exit: Exit,
    pub message: String,
}

impl Failure {
    #[must_use]
    pub fn new(exit: Exit, message: impl std::fmt::Display) -> Failure {
        Failure { exit, message: message.to_string() }
    }
}

impl Exit {
    /// A failure with this code: `.map_err(Exit::IoErr.why("cannot write"))`.
    pub fn why<E: std::fmt::Display>(self, what: impl std::fmt::Display) -> impl FnOnce(E) -> Failure {
        move |error| Failure::new(self, format!("{what}: {error}"))
    }
}

impl From<hotspare_config::LoadError> for Failure {
    fn from(error: hotspare_config::LoadError) -> Failure {
        Failure::new(Exit::Config, error)
    }
}

/// Parses the arguments, runs `main`, turns its end into an exit code. Errors go to standard error, once.
pub fn run<A: clap::Parser>(main: impl FnOnce(A) -> Result<Exit, Failure>) -> ExitCode {
    let args = match A::try_parse() {
        Ok(args) => args,
        Err(error) => {
            let _ = error.print();
            return code(if error.use_stderr() { Exit::Usage } else { Exit::Done });
        }
    };
    let end = main(args);
    crate::journal::flush();
    match end {
        Ok(exit) => code(exit),
        Err(failure) => {
            let name = std::env::args().next().unwrap_or_default();
            let name = name.rsplit('/').next().unwrap_or_default();
            eprintln!("{name}: {}", failure.message);
            code(failure.exit)
        }
    }
}

fn code(exit: Exit) -> ExitCode {
    ExitCode::from(u8::try_from(exit as i32).expect("exit codes are small"))
}

/// Ends a command that was run for its answer.
#[must_use]
pub fn yes_or_no(yes: bool) -> Exit {
    if yes { Exit::Done } else { Exit::No }
}
