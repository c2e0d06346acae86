package io.github.mla4j.eval.bench;

import io.github.mla4j.Model;
import io.github.mla4j.Session;
import io.github.mla4j.SessionOptions;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.function.Consumer;

/**
 * Sessions that hold what another one holds, each in memory of its own. Forks would share their
 * pages, and a step of all would read them from memory once.
 */
final class SessionCopies implements AutoCloseable {
  private final List<Session> sessions = new ArrayList<>();

  private SessionCopies() {}

  /**
   * Copies by way of a file, which is gone afterwards.
   *
   * @param options of the session that is copied
   */
  static SessionCopies of(
      Model model, Session session, int count, Consumer<SessionOptions> options) {
    SessionCopies copies = new SessionCopies();
    try {
      if (session.length() == 0) {
        for (int i = 0; i < count; i++) {
          copies.sessions.add(model.newSession(options));
        }
        return copies;
      }
      Path file = Files.createTempFile("mla-bench-", ".mlas");
      try {
        session.save(file);
        for (int i = 0; i < count; i++) {
          copies.sessions.add(model.restoreSession(file, options));
        }
      } finally {
        Files.deleteIfExists(file);
      }
      return copies;
    } catch (IOException e) {
      copies.close();
      throw new UncheckedIOException(e);
    } catch (RuntimeException e) {
      copies.close();
      throw e;
    }
  }

  List<Session> sessions() {
    return sessions;
  }

  /** That the caches of all hold. */
  long cacheBytes() {
    return sessions.stream().mapToLong(session -> session.memory().cacheBytes()).sum();
  }

  @Override
  public void close() {
    sessions.forEach(Session::close);
  }
}
