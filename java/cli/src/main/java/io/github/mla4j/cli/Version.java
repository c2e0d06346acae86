package io.github.mla4j.cli;

import picocli.CommandLine.IVersionProvider;

/** The version of the jar that is running. */
final class Version implements IVersionProvider {
  @Override
  public String[] getVersion() {
    return new String[] {"mla " + text()};
  }

  /** The project's version, or {@code development} where the classes do not come from a jar. */
  static String text() {
    String version = Version.class.getPackage().getImplementationVersion();
    return version == null ? "development" : version;
  }
}
