//! Confines a decoding process: it may use memory, talk over its socket, and end.

use std::collections::BTreeMap;

use rustix::process::{Resource, Rlimit, setrlimit};
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, apply_filter_all_threads};

use crate::photo::Limits;

/// Address space beyond the decoders' limit: the program, stacks, the file, and the photo twice, before and after
/// turning.
const BESIDE: u64 = 1 << 30;

/// Removes the rights that decoding does not need. If the system rejects one of the limits, the process goes on without
/// it.
pub(super) fn confine(limits: &Limits) {
    let set = |resource, most| {
        let _ = setrlimit(resource, Rlimit { current: Some(most), maximum: Some(most) });
    };
    // If memory runs out all the same, the kernel kills this process first.
    let _ = std::fs::write("/proc/self/oom_score_adj", "1000");
    set(Resource::As, limits.max_memory.saturating_add(BESIDE));
    // No core files with sellers' photos; from here on nothing is written or opened.
    set(Resource::Core, 0);
    set(Resource::Fsize, 0);
    set(Resource::Nofile, 0);
    if let Some(filter) = filter() {
        let _ = apply_filter_all_threads(&filter);
    }
}

/// A filter that allows only these system calls, in all threads; others fail with EPERM. None of them opens, connects,
/// executes, or signals another process.
fn filter() -> Option<BpfProgram> {
    let allowed = [
        // Input and output on open descriptors.
        libc::SYS_read,
        libc::SYS_write,
        libc::SYS_readv,
        libc::SYS_writev,
        libc::SYS_recvfrom,
        libc::SYS_sendto,
        libc::SYS_close,
        // Memory.
        libc::SYS_mmap,
        libc::SYS_munmap,
        libc::SYS_mremap,
        libc::SYS_mprotect,
        libc::SYS_madvise,
        libc::SYS_brk,
        // Threads that already exist, one of which may still be starting, and waiting.
        libc::SYS_rseq,
        libc::SYS_set_robust_list,
        libc::SYS_futex,
        libc::SYS_sched_yield,
        libc::SYS_sched_getaffinity,
        libc::SYS_nanosleep,
        libc::SYS_clock_nanosleep,
        libc::SYS_clock_gettime,
        libc::SYS_restart_syscall,
        // The process's own signals, and its end.
        libc::SYS_rt_sigaction,
        libc::SYS_rt_sigprocmask,
        libc::SYS_rt_sigreturn,
        libc::SYS_sigaltstack,
        libc::SYS_getpid,
        libc::SYS_gettid,
        libc::SYS_exit,
        libc::SYS_exit_group,
        // Seeds of hash maps.
        libc::SYS_getrandom,
    ];
    let rules: BTreeMap<_, _> = allowed.into_iter().map(|call| (call, Vec::new())).collect();
    let refused = SeccompAction::Errno(libc::EPERM.unsigned_abs());
    let target = std::env::consts::ARCH.try_into().ok()?;
    SeccompFilter::new(rules, refused, SeccompAction::Allow, target).ok()?.try_into().ok()
}
