/* Two nodes, one lease with an epoch in the database, one filler that cannot fence.

   Two messages about one order: 0 the order, 1 its cancel. Node 0 holds the lease; it may be paused anywhere; its lease may
   end, and node 1 takes over and sends again what was in flight. The filler must never see the order after its cancel.

   Seeded bugs (BUG), each a line somebody could leave out:
     1  the holder looks at the epoch in the database only, not at its own deadline before it sends
     2  the new holder sends at once, without waiting for what the old one may still have on the wire
     3  the old holder's deadline is not earlier than the lease's end in the database
     4  the new holder takes what was in flight for delivered
     5  what was in flight at the takeover is left as it is: nobody sends it again */
#ifndef BUG
#define BUG 0
#endif

byte holder = 0;
byte epoch = 0;
bool may_send[2];                 /* the node's own deadline has not passed */
byte row[2];                      /* 0 pending, 1 in flight, 2 acknowledged */
byte row_epoch[2];                /* epoch of the node that put it in flight */
chan wire0 = [2] of { byte };
chan wire1 = [2] of { byte };
bool answered0[2];
bool answered1[2];
byte seen[2];
byte sent_again = 0;
byte takeovers = 0;
bool inverted = false;

inline see(k) {
  if :: seen[k] < 3 -> seen[k]++ :: else -> skip fi;
  if :: k == 0 && seen[1] > 0 -> inverted = true :: else -> skip fi
}

proctype Node(byte me) {
  byte k, mine;
  do
  :: atomic {
       holder == me && may_send[me] && (row[0] != 2 || row[1] != 2) ->
       mine = epoch;
       if
       :: row[0] == 0 -> k = 0
       :: row[0] == 2 && row[1] == 0 -> k = 1
       :: else -> goto again
       fi;
       row[k] = 1; row_epoch[k] = mine
     };
     /* Here the process may stand still for as long as it likes. */
#if BUG == 1
     if :: me == 0 -> wire0!k :: else -> wire1!k fi;
#else
     atomic {
       if
       :: may_send[me] -> if :: me == 0 -> wire0!k :: else -> wire1!k fi
       :: else -> goto again
       fi
     };
#endif
     if
     :: me == 0 -> if :: answered0[k] -> skip :: !may_send[0] -> goto again fi
     :: else -> if :: answered1[k] -> skip :: !may_send[1] -> goto again fi
     fi;
     atomic {
       if :: epoch == mine -> row[k] = 2 :: else -> skip fi
     };
again: skip
  :: row[0] == 2 && row[1] == 2 -> break
  :: holder != me && takeovers >= 1 && me == 0 -> break
  od
}

proctype Lease() {
  if
  :: true ->
#if BUG == 3
     atomic { holder = 1; epoch++ };
     may_send[0] = false;
#else
     /* The node's own deadline is the earlier one, and at it a reset throws away what the system has not sent. */
     may_send[0] = false;
#endif
#if BUG != 2 && BUG != 3
     (len(wire0) == 0);            /* lease and TCP_USER_TIMEOUT have gone by: nothing of the old node is on its way */
#endif
     atomic {
       holder = 1; epoch++; takeovers++; may_send[1] = true;
#if BUG == 4
       if :: row[0] == 1 -> row[0] = 2 :: else -> skip fi;
       if :: row[1] == 1 -> row[1] = 2 :: else -> skip fi
#elif BUG == 5
       skip
#else
       if :: row[0] == 1 -> row[0] = 0; sent_again++ :: else -> skip fi;
       if :: row[1] == 1 -> row[1] = 0; sent_again++ :: else -> skip fi
#endif
     }
  :: true -> skip
  fi
}

proctype Filler() {
  byte k;
end:
  do
  :: atomic { wire0?k -> see(k); answered0[k] = true }
  :: atomic { wire1?k -> see(k); answered1[k] = true }
  od
}

init {
  atomic { may_send[0] = true; run Node(0); run Node(1); run Lease(); run Filler() }
}

ltl in_order { [] !inverted }
ltl delivered { <> (seen[0] > 0 && seen[1] > 0) }
ltl once_more_at_most { [] (sent_again <= takeovers && seen[0] <= 1 + takeovers && seen[1] <= 1 + takeovers) }
