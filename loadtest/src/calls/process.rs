//! What a process costs, from `/proc`.

use std::io;
use std::time::Duration;

use serde::Serialize;

/// `USER_HZ`: Linux gives CPU times to user space in hundredths of a second on every machine that
/// this runs on.
const TICK: Duration = Duration::from_millis(10);

/// A reading.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Usage {
    /// User and system time since the process began.
    pub(super) cpu: Duration,
    /// Resident memory.
    pub(super) rss_kib: u64,
}

/// Reads what `pid` (or `self`) has used, and those it has started: a server may be many processes.
/// Memory that they share counts once for each.
pub(super) fn usage(pid: &str) -> io::Result<Usage> {
    let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
    let children = children.unwrap_or_default();
    let of_children = children.split_ascii_whitespace().filter_map(|child| usage(child).ok());
    let own = usage_alone(pid)?;
    Ok(of_children.fold(own, |sum, child| Usage {
        cpu: sum.cpu + child.cpu,
        rss_kib: sum.rss_kib + child.rss_kib,
    }))
}

fn usage_alone(pid: &str) -> io::Result<Usage> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let parsed = cpu(&stat).zip(rss_kib(&status)).map(|(cpu, rss_kib)| Usage { cpu, rss_kib });
    parsed.ok_or_else(|| io::Error::other("/proc does not read as Linux writes it"))
}

/// Fields 14 and 15 of `stat`; the second one, the program's name, may hold spaces and brackets.
fn cpu(stat: &str) -> Option<Duration> {
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_ascii_whitespace().skip(11);
    let user: u32 = fields.next()?.parse().ok()?;
    let system: u32 = fields.next()?.parse().ok()?;
    Some(TICK * user + TICK * system)
}

fn rss_kib(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix("kB")?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_brackets_and_spaces_does_not_shift_the_fields() {
        let stat = "7 (a) b (c)) S 1 7 7 0 -1 4194560 1 2 3 4 150 25 9 9 20 0 3 0 5 6 7";
        assert_eq!(cpu(stat), Some(Duration::from_millis(1750)));
        assert_eq!(cpu("7 nonsense"), None);
    }

    #[test]
    fn resident_memory_is_read_in_kib() {
        assert_eq!(rss_kib("Name:\tx\nVmHWM:\t  900 kB\nVmRSS:\t   812 kB\n"), Some(812));
        assert_eq!(rss_kib("Name:\tx\n"), None);
    }

    #[test]
    fn this_very_process_has_memory() {
        assert!(usage("self").unwrap().rss_kib > 100);
        assert!(usage("0").is_err());
    }
}
