//! Which of many rows are refused, found by trying: what is refused as a whole is tried in halves.

use std::ops::Range;

use starweir_model::Error;

/// The search among `n` rows. Ask [`Sifting::next`] what to try, tell [`Sifting::answer`] how it went, until nothing
/// is left to try.
pub(super) struct Sifting {
    /// Ranges to be tried, the first rows last.
    waiting: Vec<Range<usize>>,
    /// Rows that are taken, in order, as ranges.
    taken: Vec<Range<usize>>,
    /// Rows that are refused, in order, each with why.
    refused: Vec<(usize, Error)>,
}

impl Sifting {
    pub fn new(rows: usize) -> Self {
        let waiting = Some(0..rows).filter(|all| !all.is_empty());
        Self { waiting: waiting.into_iter().collect(), taken: Vec::new(), refused: Vec::new() }
    }

    pub fn next(&mut self) -> Option<Range<usize>> {
        self.waiting.pop()
    }

    /// `refusal`: why the rows of `range` together were refused; none when they were taken.
    pub fn answer(&mut self, range: Range<usize>, refusal: Option<Error>) {
        match refusal {
            None => self.taken.push(range),
            Some(why) if range.len() == 1 => self.refused.push((range.start, why)),
            Some(_) => {
                let middle = range.start + range.len() / 2;
                self.waiting.push(middle..range.end);
                self.waiting.push(range.start..middle);
            }
        }
    }

    pub fn refused_rows(&self) -> usize {
        self.refused.len()
    }

    /// The rows that were taken and those that were not, both in order.
    pub fn ended(self) -> (Vec<Range<usize>>, Vec<(usize, Error)>) {
        (self.taken, self.refused)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows for which `bad` holds are refused, alone and in any company.
    fn sifted(rows: usize, bad: &[usize]) -> (Vec<usize>, Vec<usize>, usize) {
        let mut sifting = Sifting::new(rows);
        let mut tries = 0;
        while let Some(range) = sifting.next() {
            tries += 1;
            let refusal = range.clone().find(|row| bad.contains(row)).map(|row| Error::data(format!("row {row}")));
            sifting.answer(range, refusal);
        }
        let (taken, refused) = sifting.ended();
        assert!(refused.iter().all(|(row, why)| why.message == format!("row {row}")));
        (taken.into_iter().flatten().collect(), refused.into_iter().map(|(row, _)| row).collect(), tries)
    }

    #[test]
    fn exactly_the_refused_rows_are_found_and_the_others_keep_their_order() {
        for (rows, bad, tries_max) in [
            (0, &[][..], 0),
            (1, &[], 1),
            (1, &[0], 1),
            (7, &[], 1),
            (7, &[0], 7),
            (7, &[6], 7),
            (7, &[2, 3, 6], 13),
            (1000, &[499], 21),
            (4, &[0, 1, 2, 3], 7),
        ] {
            let (taken, refused, tries) = sifted(rows, bad);
            assert_eq!(refused, bad);
            assert_eq!(taken, (0..rows).filter(|row| !bad.contains(row)).collect::<Vec<_>>());
            assert!(tries <= tries_max, "{tries} tries for {bad:?} of {rows}");
        }
    }
}
