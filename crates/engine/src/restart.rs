//! Restart strategies with Flink's names and defaults.

use std::time::Duration;

/// When a failed attempt is followed by another.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum RestartStrategy {
    /// `none`: the first failure ends the job.
    None,
    /// `fixed-delay`: so many attempts after the first, with a pause before each.
    FixedDelay { attempts: u64, delay: Duration },
    /// `failure-rate`: ends the job when more failures than this fall into the interval.
    FailureRate { failures_per_interval: u64, interval: Duration, delay: Duration },
    /// `exponential-delay`: the pause grows with each failure and falls back after a quiet time.
    ExponentialDelay { initial: Duration, max: Duration, multiplier: f64, reset_after: Duration, attempts: u64 },
}

impl Default for RestartStrategy {
    /// Flink 1.20's defaults of `exponential-delay`, its strategy when checkpoints are on.
    fn default() -> Self {
        Self::ExponentialDelay {
            initial: Duration::from_secs(1),
            max: Duration::from_secs(60),
            multiplier: 1.5,
            reset_after: Duration::from_secs(3600),
            attempts: u64::MAX,
        }
    }
}

/// The pause before the next attempt after failures at these times (milliseconds, oldest first, the last one is
/// now), or None when the job has to end.
pub fn decide_restart(strategy: &RestartStrategy, failures_ms: &[i64]) -> Option<Duration> {
    let count = failures_ms.len() as u64;
    let now = *failures_ms.last()?;
    match *strategy {
        RestartStrategy::None => None,
        RestartStrategy::FixedDelay { attempts, delay } => (count <= attempts).then_some(delay),
        RestartStrategy::FailureRate { failures_per_interval, interval, delay } => {
            let recent = failures_ms.iter().filter(|&&at| now - at < interval.as_millis() as i64).count() as u64;
            (recent <= failures_per_interval).then_some(delay)
        }
        RestartStrategy::ExponentialDelay { initial, max, multiplier, reset_after, attempts } => {
            let mut in_a_row = 1u64;
            for pair in failures_ms.windows(2).rev() {
                if pair[1] - pair[0] >= reset_after.as_millis() as i64 {
                    break;
                }
                in_a_row += 1;
            }
            if in_a_row > attempts {
                return None;
            }
            let factor = multiplier.powi((in_a_row - 1).min(64) as i32);
            Some(Duration::from_secs_f64((initial.as_secs_f64() * factor).min(max.as_secs_f64())))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strategies_end_where_flinks_end() {
        let s = Duration::from_secs;
        let fixed = RestartStrategy::FixedDelay { attempts: 2, delay: s(3) };
        assert_eq!(decide_restart(&RestartStrategy::None, &[0]), None);
        assert_eq!(decide_restart(&fixed, &[0, 1]), Some(s(3)));
        assert_eq!(decide_restart(&fixed, &[0, 1, 2]), None);
        let rate = RestartStrategy::FailureRate { failures_per_interval: 1, interval: s(60), delay: s(1) };
        assert_eq!(decide_restart(&rate, &[0, 59_999]), None);
        assert_eq!(decide_restart(&rate, &[0, 60_000]), Some(s(1)));
        let growing = RestartStrategy::ExponentialDelay {
            initial: s(1),
            max: s(3),
            multiplier: 2.0,
            reset_after: s(100),
            attempts: 3,
        };
        assert_eq!(decide_restart(&growing, &[0]), Some(s(1)));
        assert_eq!(decide_restart(&growing, &[0, 10_000]), Some(s(2)));
        assert_eq!(decide_restart(&growing, &[0, 10_000, 20_000]), Some(s(3)));
        assert_eq!(decide_restart(&growing, &[0, 1, 2, 3]), None);
        assert_eq!(decide_restart(&growing, &[0, 1, 2, 200_000]), Some(s(1)));
    }
}
