//! Which replicas to start and which to stop next. Pure: a picture in, steps out.

/// A replica that is not being stopped already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct View {
    /// Whether it runs what is wanted now.
    pub(crate) current: bool,
    pub(crate) ready: bool,
}

/// What is wanted, within which limits.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Goal {
    pub(crate) target: usize,
    /// Most replicas on their way up at once; 0 while nothing may be started.
    pub(crate) starting_max: usize,
}

/// What to do next.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Steps {
    pub(crate) start: usize,
    /// Places in the picture.
    pub(crate) retire: Vec<usize>,
}

/// The next steps; `views` are sorted from the oldest to the newest. Applying them never leaves
/// fewer ready than wanted, unless there were fewer before.
pub(crate) fn steps(goal: Goal, views: &[View]) -> Steps {
    let target = goal.target;
    if target == 0 {
        return Steps { start: 0, retire: (0..views.len()).collect() };
    }
    let count = |is: fn(&View) -> bool| views.iter().filter(|view| is(view)).count();
    let current = count(|view| view.current);
    let stale = views.len() - current;
    let surge = if stale == 0 { 0 } else { (target / 4).max(1) };
    let room = (target + surge).saturating_sub(views.len());
    let on_their_way = count(|view| view.current && !view.ready);
    let start = target
        .saturating_sub(current)
        .min(room)
        .min(goal.starting_max.saturating_sub(on_their_way));

    let places = |is: fn(&View) -> bool| {
        views.iter().enumerate().filter(move |(_, view)| is(view)).map(|(place, _)| place)
    };
    // Of no use to anybody: neither wanted nor serving.
    let mut retire: Vec<usize> = places(|view| !view.current && !view.ready).collect();
    let surplus_current = current.saturating_sub(target);
    let newest_unready = places(|view| view.current && !view.ready).rev();
    let newest_ready = places(|view| view.current && view.ready).rev();
    let mut chosen: Vec<usize> = newest_unready.chain(newest_ready).take(surplus_current).collect();
    let ready_left =
        count(|view| view.ready) - chosen.iter().filter(|place| views[**place].ready).count();
    let surplus_ready = ready_left.saturating_sub(target);
    retire.append(&mut chosen);
    retire.extend(places(|view| !view.current && view.ready).take(surplus_ready));
    Steps { start, retire }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEW: View = View { current: true, ready: true };
    const STARTING: View = View { current: true, ready: false };
    const OLD: View = View { current: false, ready: true };
    const DEAD: View = View { current: false, ready: false };

    fn check(target: usize, views: &[View], start: usize, retire: &[usize]) {
        let steps = steps(Goal { target, starting_max: 8 }, views);
        assert_eq!(steps, Steps { start, retire: retire.to_vec() }, "{target} {views:?}");
    }

    #[test]
    fn missing_are_started_and_the_newest_surplus_is_stopped() {
        check(3, &[], 3, &[]);
        check(3, &[NEW, STARTING], 1, &[]);
        check(2, &[NEW, NEW, NEW], 0, &[2]);
        check(2, &[NEW, STARTING, NEW], 0, &[1]);
        check(0, &[NEW, OLD], 0, &[0, 1]);
        check(20, &[], 8, &[]);
    }

    #[test]
    fn old_ones_go_only_as_new_ones_are_ready() {
        check(2, &[OLD, OLD], 1, &[]);
        check(2, &[OLD, OLD, STARTING], 0, &[]);
        check(2, &[OLD, OLD, NEW], 0, &[0]);
        check(2, &[OLD, NEW], 1, &[]);
        check(2, &[OLD, NEW, NEW], 0, &[0]);
        check(1, &[OLD, DEAD], 0, &[1]);
        check(1, &[OLD, OLD, OLD], 0, &[0, 1]);
    }

    #[test]
    fn every_rollout_ends_and_never_has_fewer_ready_than_wanted() {
        for target in 1..12 {
            for before in 0..12 {
                let mut views = vec![OLD; before];
                for _ in 0..100 {
                    let next = steps(Goal { target, starting_max: 3 }, &views);
                    if next == Steps::default() {
                        break;
                    }
                    let ready = views.iter().filter(|view| view.ready).count();
                    let mut place = 0;
                    views.retain(|_| {
                        place += 1;
                        !next.retire.contains(&(place - 1))
                    });
                    let left = views.iter().filter(|view| view.ready).count();
                    assert!(left >= target.min(ready), "{target} {before} {next:?}");
                    views.extend(vec![NEW; next.start]);
                }
                assert_eq!(views, vec![NEW; target], "{target} {before}");
            }
        }
    }
}
