//! Room for recursion: what nests deeply runs on a thread of its own with a large stack, what does
//! not stays where it is. The parser bounds the nesting, so this stack is always enough.

/// Bytes; far more than the deepest statement the parser lets through needs in a debug build.
const STACK_BYTES: usize = 64 << 20;

/// Nesting up to which a stack of 2 MiB is enough, debug builds included.
pub(crate) const SHALLOW: usize = 8;

/// Runs `f`, on a large stack when `nesting` is deep. Without a thread to be had it runs in place.
pub fn with_room<R: Send>(nesting: usize, f: impl FnOnce() -> R + Send) -> R {
    if nesting <= SHALLOW {
        return f();
    }
    let mut result = None;
    let mut f = Some(f);
    let spawned = std::thread::scope(|scope| {
        let (result, f) = (&mut result, &mut f);
        std::thread::Builder::new()
            .name("sql-planner".to_owned())
            .stack_size(STACK_BYTES)
            .spawn_scoped(scope, move || {
                if let Some(f) = f.take() {
                    *result = Some(f());
                }
            })
            .map(|handle| {
                if let Err(panic) = handle.join() {
                    std::panic::resume_unwind(panic);
                }
            })
            .is_ok()
    });
    match (result, f) {
        (Some(result), _) => result,
        (None, Some(f)) => f(),
        // A panic has gone on above; without one the closure has given its result.
        (None, None) => unreachable!("the planner's thread ended without a result (spawned: {spawned})"),
    }
}
