//! Checks of the machine: processor, memory, limits, clock, disks.

use std::fs::{self, File};
use std::io::Write;
use std::num::NonZero;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use rustix::process::{Resource, getrlimit};

use super::Finding;
use crate::config::Config;

/// A disk with less room than this is nearly full, in bytes.
const LITTLE_ROOM: u64 = 2 << 30;

/// A synced write that takes longer than this is slow.
const SLOW_SYNC: Duration = Duration::from_millis(20);

/// Memory for a model, its runtime and a few photos in work, in bytes.
const LITTLE_MEMORY: u64 = 1 << 30;

pub(super) fn processor() -> Finding {
    let cores = thread::available_parallelism().map_or(1, NonZero::get);
    let about = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let line = |name: &str| {
        let found = about.lines().find(|line| line.split(':').next().is_some_and(|key| key.trim() == name));
        found.and_then(|line| line.split_once(':')).map(|(_, value)| value.trim().to_owned())
    };
    let features = line("flags").or_else(|| line("Features")).unwrap_or_default();
    let known = ["avx2", "fma", "avx512f", "avx512_vnni", "avx_vnni", "asimd", "asimddp"];
    let here: Vec<&str> = known.into_iter().filter(|name| features.split(' ').any(|word| word == *name)).collect();
    let detail = format!(
        "{cores} cores, {}",
        if here.is_empty() { "no known vector instructions".to_owned() } else { here.join(" ") }
    );
    let slow = cfg!(target_arch = "x86_64") && !here.contains(&"avx2");
    if slow {
        return Finding::doubtful(
            "processor",
            format!("{detail}; without AVX2 everything takes several times as long"),
        );
    }
    Finding::good("processor", detail)
}

pub(super) fn memory() -> Finding {
    let text = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let available = text.lines().find_map(|line| line.strip_prefix("MemAvailable:")).and_then(|rest| {
        let kilobytes: u64 = rest.trim().trim_end_matches("kB").trim().parse().ok()?;
        Some(kilobytes << 10)
    });
    let Some(available) = available else {
        return Finding::doubtful("memory", "/proc/meminfo does not say how much is available");
    };
    let group = group_limit();
    let least = group.map_or(available, |limit| limit.min(available));
    let detail = match group {
        Some(limit) => format!("{} available, at most {} for this control group", bytes(available), bytes(limit)),
        None => format!("{} available", bytes(available)),
    };
    if least < LITTLE_MEMORY {
        let need = bytes(LITTLE_MEMORY);
        return Finding::doubtful("memory", format!("{detail}, expected {need} or more; lower server.max_in_flight"));
    }
    Finding::good("memory", detail)
}

/// The memory limit of the control group, if there is one.
fn group_limit() -> Option<u64> {
    let own = fs::read_to_string("/proc/self/cgroup").ok()?;
    let path = own.lines().find_map(|line| line.strip_prefix("0::"))?;
    let mut folder = Path::new("/sys/fs/cgroup").join(path.trim_start_matches('/'));
    let mut least: Option<u64> = None;
    while folder.starts_with("/sys/fs/cgroup") {
        let limit = fs::read_to_string(folder.join("memory.max")).ok().and_then(|text| text.trim().parse().ok());
        least = match (least, limit) {
            (Some(a), Some(b)) => Some(std::cmp::min::<u64>(a, b)),
            (a, b) => a.or(b),
        };
        if !folder.pop() {
            break;
        }
    }
    least
}

pub(super) fn limits(config: &Config) -> Finding {
    let files = getrlimit(Resource::Nofile).current;
    // For each request a connection, its photo and a decoding process, plus the service's own files.
    let need = config.server.max_in_flight as u64 * 4 + 256;
    match files {
        Some(files) if files < need => Finding::doubtful(
            "limits",
            format!("{files} open files at most, expected {need}; raise it (ulimit -n, LimitNOFILE=)"),
        ),
        Some(files) => Finding::good("limits", format!("{files} open files")),
        None => Finding::good("limits", "open files without limit"),
    }
}

/// Keys expire, retention counts days, and decisions carry times, so a wrong clock does harm.
pub(super) fn clock(config: &Config) -> Finding {
    let now = SystemTime::now();
    let built = fs::metadata("/proc/self/exe").and_then(|found| found.modified());
    if built.is_ok_and(|built| built > now + Duration::from_mins(1)) {
        return Finding::wrong("clock", "it is before this program was built; set it, and synchronise it with NTP");
    }
    let newest = fs::metadata(config.data.join("touchstone.db")).and_then(|found| found.modified());
    if newest.is_ok_and(|newest| newest > now + Duration::from_mins(1)) {
        return Finding::wrong(
            "clock",
            "it is before the last change of the database; set it, and synchronise it with NTP",
        );
    }
    let now = jiff::Timestamp::now();
    let kept = ["/run/systemd/timesync/synchronized", "/run/chrony/chronyd.pid", "/run/ntpd.pid"];
    if kept.iter().any(|path| Path::new(path).exists()) {
        return Finding::good("clock", format!("{now:.0}, synchronised by this machine's time service"));
    }
    Finding::good("clock", format!("{now:.0}; no time service was found here, so the host must synchronise it"))
}

pub(super) fn disks(config: &Config) -> Vec<Finding> {
    vec![disk("data", &config.data), disk("index disk", &config.index_dir)]
}

fn disk(what: &'static str, folder: &Path) -> Finding {
    let shown = folder.display();
    // A missing folder is created in its nearest existing parent.
    let Some(near) = std::path::absolute(folder).ok().and_then(|path| existing(&path)) else {
        return Finding::wrong(what, format!("no parent of {shown} exists"));
    };
    let made = if near.ends_with(folder) || folder.exists() { "" } else { ", created at the first start" };
    let room = match rustix::fs::statvfs(&near) {
        Ok(found) => found.f_bavail * found.f_frsize,
        Err(error) => return Finding::wrong(what, format!("{shown}: {error}")),
    };
    let took = match synced(&near) {
        Ok(took) => took,
        Err(error) => {
            return Finding::wrong(what, format!("{shown} cannot be written: {error}; make this user its owner"));
        }
    };
    let detail =
        format!("{shown}{made}: {} free, a synced write takes {:.1} ms", bytes(room), took.as_secs_f64() * 1e3);
    if room < LITTLE_ROOM {
        return Finding::doubtful(what, format!("{detail}; make room: a full disk refuses checks"));
    }
    if took > SLOW_SYNC {
        return Finding::doubtful(what, format!("{detail}, which each stored check waits for; use a faster disk"));
    }
    Finding::good(what, detail)
}

fn existing(path: &Path) -> Option<std::path::PathBuf> {
    path.ancestors().find(|path| path.is_dir()).map(Path::to_owned)
}

/// The median time of a few synced writes.
fn synced(folder: &Path) -> std::io::Result<Duration> {
    let file = tempfile::Builder::new().prefix(".touchstone-doctor-").tempfile_in(folder)?;
    let mut took = Vec::new();
    for _ in 0..5 {
        let started = Instant::now();
        let mut handle: &File = file.as_file();
        handle.write_all(&[0; 4096])?;
        handle.sync_data()?;
        took.push(started.elapsed());
    }
    took.sort();
    Ok(took[took.len() / 2])
}

/// A size for people, in kB, MB or GB.
pub(super) fn bytes(count: u64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "rounded")]
    let count = count as f64;
    match count {
        count if count >= 1e9 => format!("{:.1} GB", count / 1e9),
        count if count >= 1e6 => format!("{:.0} MB", count / 1e6),
        count => format!("{:.0} kB", count / 1e3),
    }
}
