// The order of questions: what is read first is asked first, and has the server and the browser to itself until it is drawn.

export type Turn = "at once" | "then" | "at last";

const TOGETHER = 2; // of those that wait for their turn
const LONGEST_MS = 1500; // a question that takes long does not hold up the others

interface Waiting {
  turn: Turn;
  begin: () => void;
  refuse: (reason: unknown) => void;
}

let waiting: Waiting[] = [];
let first = 0;
let others = 0;

/** Work when it is this one's turn. Throws what `signal` was aborted with when that was before. */
export async function inTurn<T>(turn: Turn, signal: AbortSignal | undefined, work: () => Promise<T>): Promise<T> {
  const isFirst = turn === "at once";
  if (isFirst) first++;
  else await place(turn, signal);
  try {
    return await work();
  } finally {
    void drawn().then(() => {
      if (isFirst) first--;
      else others--;
      next();
    });
  }
}

/** Let nobody wait any longer: they will not be asked. */
export function dismissAll(): void {
  for (const { refuse } of waiting) refuse(new Error("It was cancelled."));
  waiting = [];
}

function place(turn: Turn, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((begin, refuse) => {
    const one = { turn, begin, refuse };
    waiting.push(one);
    signal?.addEventListener("abort", () => {
      waiting = waiting.filter((other) => other !== one);
      refuse(signal.reason);
    });
    void drawn().then(() => next());
    setTimeout(() => next(true), LONGEST_MS);
  });
}

function next(impatient = false): void {
  while (waiting.length && others < TOGETHER && (impatient || !first)) {
    const one = waiting.find(({ turn }) => turn === "then") ?? waiting[0]!;
    waiting = waiting.filter((other) => other !== one);
    others++;
    one.begin();
  }
}

/** Until what has come is seen; in a tab that is not seen, for a moment. */
function drawn(): Promise<void> {
  return new Promise((done) => {
    requestAnimationFrame(() => setTimeout(done));
    setTimeout(done, 200);
  });
}
