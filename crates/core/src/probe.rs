//! What single answers of a probe add up to: `rise` good ones in a row make it good, `fall` bad ones in a row make it bad
//! (the words of keepalived and HAProxy).

/// What a probe has come to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Good for the first time.
    Up,
    /// It was good, and has failed so often in a row.
    Down,
}

/// Counts answers.
#[derive(Clone, Copy, Debug)]
pub struct Tally {
    rise: u32,
    fall: u32,
    /// Answers of the same kind in a row.
    row: u32,
    good: bool,
    up: bool,
}

impl Tally {
    /// # Panics
    /// If a count is zero.
    #[must_use]
    pub fn new(rise: u32, fall: u32) -> Tally {
        assert!(rise > 0 && fall > 0, "a verdict needs an answer");
        Tally { rise, fall, row: 0, good: false, up: false }
    }

    /// Takes an answer; a verdict when it changes.
    pub fn note(&mut self, good: bool) -> Option<Verdict> {
        self.row = if good == self.good { self.row.saturating_add(1) } else { 1 };
        self.good = good;
        match (self.up, good) {
            (false, true) if self.row >= self.rise => {
                self.up = true;
                Some(Verdict::Up)
            }
            (true, false) if self.row >= self.fall => {
                self.up = false;
                Some(Verdict::Down)
            }
            _ => None,
        }
    }

    /// How many bad answers in a row there have been.
    #[must_use]
    pub fn bad_in_a_row(&self) -> u32 {
        if self.good { 0 } else { self.row }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn play(rise: u32, fall: u32, answers: &str) -> String {
        let mut tally = Tally::new(rise, fall);
        let say = |answer| match tally.note(answer == '+') {
            Some(Verdict::Up) => 'U',
            Some(Verdict::Down) => 'D',
            None => '.',
        };
        answers.chars().map(say).collect()
    }

    #[test]
    fn rise_and_fall_count_answers_in_a_row() {
        assert_eq!(play(1, 3, "+--+---+"), "U.....DU");
        assert_eq!(play(2, 1, "+-++-"), "...UD");
        assert_eq!(play(3, 2, "----++-+++--"), ".........U.D", "what was never good does not fall");
    }

    #[test]
    fn one_good_answer_ends_a_row_of_bad_ones() {
        let mut tally = Tally::new(1, 2);
        let bad: Vec<u32> = "+-+--".chars().map(|c| (tally.note(c == '+'), tally.bad_in_a_row()).1).collect();
        assert_eq!(bad, [0, 1, 0, 1, 2]);
    }
}
