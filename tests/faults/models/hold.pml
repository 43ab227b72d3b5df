/* One order that is held: two reviewers, a timer, a courier, a placer that resends, a process that may be killed.

   What the journal keeps is a variable; one atomic block is one transaction. What a process only remembers is lost
   with the epoch: `Kill` ends it, and whoever began in an older epoch finds that it is no longer the same process.
   The steps are those of interceptor/action/lifecycle.py. The filler is what the promises are made to: all that it
   sees is counted.

   BUG seeds one mistake. tests/faults/test_spin.py shows that each one is found, and by which promise. */
#ifndef BUG
#define BUG 0
#endif
#define KILLS_MAX 2

mtype = { NONE, PARKED, HELD, QUEUED, DELIVERED, WITHDRAWN, RETURNED, DEAD };  /* state of the order */
mtype = { ABSENT, PENDING, INFLIGHT, ACKED, REFUSED };                        /* state of an outbox row */

/* Durable. */
mtype state = NONE;
byte version = 0;
bool cancel_taken = false;          /* the cancel's bytes are known: a resend of it gets the stored answer */
mtype row_new = ABSENT;
mtype row_cancel = ABSENT;

/* The process. */
byte epoch = 0;

/* What the world saw. */
byte filler_new = 0, filler_cancel = 0;
bool told_new = false, told_cancel = false, told_withdrawn = false;
byte released = 0;                  /* times that the order was queued, a person's retry of a dead one aside */
byte retried = 0;
bool cancel_came_first = false, new_after_cancel = false, new_after_withdrawn = false;

inline queue_order() { state = QUEUED; version++; row_new = PENDING; released++ }

inline filler_gets_new() {
    if :: filler_cancel > 0 -> new_after_cancel = true :: else -> skip fi;
    if :: told_withdrawn -> new_after_withdrawn = true :: else -> skip fi;
    if :: filler_new < 7 -> filler_new++ :: else -> skip fi
}

inline filler_gets_cancel() {
    if :: filler_new == 0 -> cancel_came_first = true :: else -> skip fi;
    if :: filler_cancel < 3 -> filler_cancel++ :: else -> skip fi
}

inline take_new() {
    if
    :: state == NONE ->
        version++;
        if :: state = PARKED :: state = HELD fi
    :: else ->                      /* a resend: known by its digest */
#if BUG == 1
        queue_order()               /* the resend is taken for a message that may pass */
#else
        skip
#endif
    fi
}

inline take_cancel() {
    if
    :: cancel_taken -> skip         /* a resend: known by its digest */
    :: !cancel_taken && (state == PARKED || state == HELD) ->
        cancel_taken = true;
#if BUG != 2
        state = WITHDRAWN; version++
#endif
    :: !cancel_taken && state == QUEUED -> cancel_taken = true; version++; row_cancel = PENDING
    :: !cancel_taken && state == DEAD ->
        cancel_taken = true; row_cancel = PENDING; state = WITHDRAWN; version++
    :: !cancel_taken && (state == WITHDRAWN || state == RETURNED) -> cancel_taken = true; version++
    :: !cancel_taken && state == DELIVERED -> filler_gets_cancel()    /* not ours any more: relayed */
    fi
}

proctype Placer() {
    byte mine;
    do
    :: told_new -> break
    :: else ->
#if BUG == 5
        atomic { mine = epoch; told_new = true }    /* answered before it was durable */
        atomic { if :: epoch == mine -> take_new() :: else -> skip fi }
#else
        atomic { mine = epoch; take_new() }
        atomic { if :: epoch == mine -> told_new = true :: else -> skip fi }
#endif
    od;
    if :: atomic { mine = epoch; take_new() } :: skip fi;             /* a resend although it was answered */
    if
    :: skip                         /* this order is never cancelled */
    :: true ->
       do
       :: told_cancel -> break
       :: else ->
           atomic { state != NONE -> mine = epoch; take_cancel() }
           atomic {
               if
               :: epoch == mine ->
                   told_cancel = true;
                   if :: state == WITHDRAWN && row_cancel == ABSENT -> told_withdrawn = true :: else -> skip fi
               :: else -> skip
               fi
           }
       od
    fi
}

proctype Reviewer() {
    byte seen;
    if
    :: atomic { state == HELD -> seen = version };
       if
       :: true ->
#if BUG == 3
          atomic { queue_order() }  /* releases whatever became of the order meanwhile */
#else
          atomic { if :: state == HELD && version == seen -> queue_order() :: else -> skip fi }
#endif
       :: true ->
          atomic { if :: state == HELD && version == seen -> state = RETURNED; version++ :: else -> skip fi }
       fi
    :: skip                         /* this one is away */
    fi
}

proctype Timer() {
end:
    do
    :: atomic { state == PARKED -> state = HELD; version++ }          /* no sibling came */
    :: atomic { state == PARKED -> queue_order() }                    /* a sibling completed the set */
#if BUG != 7
    :: atomic { state == HELD -> queue_order() }                      /* nobody decided in time */
#endif
    od
}

/* One row under way, the oldest first; in flight durably before its bytes leave. */
proctype Courier() {
    byte mine;
end:
    do
    :: atomic { row_new == PENDING -> row_new = INFLIGHT; mine = epoch };
       atomic { if :: epoch == mine -> filler_gets_new() :: else -> skip fi };
       atomic {
           if
           :: epoch != mine -> skip
           :: epoch == mine -> row_new = ACKED; if :: state == QUEUED -> state = DELIVERED; version++ :: else -> skip fi
           :: epoch == mine -> row_new = REFUSED; if :: state == QUEUED -> state = DEAD; version++ :: else -> skip fi
           fi
       }
#if BUG == 4
    :: atomic { row_cancel == PENDING -> row_cancel = INFLIGHT; mine = epoch };
#else
    :: atomic { row_cancel == PENDING && row_new != PENDING -> row_cancel = INFLIGHT; mine = epoch };
#endif
       atomic { if :: epoch == mine -> filler_gets_cancel() :: else -> skip fi };
       atomic { if :: epoch == mine -> row_cancel = ACKED :: else -> skip fi }
    od
}

/* A person has the dead order sent again, once; never after its cancel, which may have been queued behind it. */
proctype Retry() {
end:
#if BUG == 8
    atomic { state == DEAD -> state = QUEUED; version++; row_new = PENDING; retried++ }
#else
    atomic { state == DEAD && !cancel_taken -> state = QUEUED; version++; row_new = PENDING; retried++ }
#endif
}

proctype Kill() {
    do
    :: epoch < KILLS_MAX ->
        atomic {
            epoch++;
#if BUG == 6
            if :: row_new == INFLIGHT -> row_new = ACKED :: else -> skip fi;
#else
            if :: row_new == INFLIGHT -> row_new = PENDING :: else -> skip fi;
#endif
            if :: row_cancel == INFLIGHT -> row_cancel = PENDING :: else -> skip fi
        }
    :: break
    od
}

init { atomic { run Placer(); run Reviewer(); run Reviewer(); run Timer(); run Courier(); run Retry(); run Kill() } }

#define ended_unseen ((state == WITHDRAWN || state == RETURNED) && filler_new == 0)

/* Nobody releases it twice; one delivery, and one more for each kill and each retry at most. */
ltl once { [] (released <= 1 && filler_new <= 1 + epoch + retried) }
/* A cancel never comes before its order, an order never after its cancel, and never once its withdrawal was told. */
ltl in_order { [] (!cancel_came_first && !new_after_cancel && !new_after_withdrawn) }
/* What the placer was told we have reaches the filler, or ended without it. */
ltl not_lost { [] (told_new -> <> (filler_new > 0 || ended_unseen)) }
/* A cancel that was answered reaches the filler, or the order never does. */
ltl cancel_not_lost { [] (told_cancel -> <> (filler_cancel > 0 || ended_unseen)) }
/* No order is held for ever. */
ltl not_forgotten { [] ((state == HELD || state == PARKED) -> <> !(state == HELD || state == PARKED)) }
