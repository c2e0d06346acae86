package io.github.mla4j.benchmarks.peers;

import java.util.List;

/** How a peer's process is started; it reads its {@link Job} from standard input. */
record Launch(List<String> command) {}
