package io.github.mla4j.benchmarks.peers;

import java.io.File;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.function.Consumer;
import java.util.stream.Collectors;

/**
 * Brings peers from their registries into the folder {@code build} beside this module, which git
 * ignores, once: what is there already is taken.
 */
final class Installer {
  private static final String NATIVE = "-DGGML_NATIVE=ON";
  private static final int JLAMA_JAVA = 22; // its tensors are java.lang.foreign's
  static final String GGUF_READER = "gguf==0.19.0";

  private final Path home;
  private final boolean prebuilt;
  private final Children children;
  private final Consumer<String> progress;

  /**
   * @param home the folder of this module
   * @param prebuilt whether packages' own binaries are taken where they could be compiled
   * @param progress hears of what takes a while
   */
  Installer(Path home, boolean prebuilt, Children children, Consumer<String> progress) {
    this.home = home;
    this.prebuilt = prebuilt;
    this.children = children;
    this.progress = progress;
  }

  Launch install(Peer peer) throws AbsentException, IOException {
    return switch (peer) {
      case MLA4J ->
          new Launch(
              List.of(
                  Jdk.current().java(),
                  "-XX:+UseSerialGC",
                  "-cp",
                  System.getProperty("java.class.path"),
                  Mla4jPeer.class.getName()));
      case LLAMA_CPP -> {
        if (prebuilt) {
          throw new AbsentException("its package has no binary, and --prebuilt compiles nothing");
        }
        yield python(peer, "llama-cpp-python", "0.3.36", "llama_cpp");
      }
      case IK_LLAMA_CPP -> python(peer, "ik-llama-cpp-python", "0.1.5", "ik_llama_cpp");
      case NODE_LLAMA_CPP -> node(peer);
      case JAVA_LLAMA -> java(peer, Jdk.current(), "java-llama/JavaLlama.java", List.of());
      case JLAMA ->
          java(
              peer,
              Jdk.atLeast(JLAMA_JAVA),
              "jlama/Jlama.java",
              List.of("--add-modules=jdk.incubator.vector"));
    };
  }

  /** Where {@link #unpack} leaves a model. */
  static Path unpacked(Path home, Path source) {
    String name = source.getFileName().toString().replaceFirst("\\.gguf$", "");
    return home.resolve("build").resolve("jlama-models").resolve(name);
  }

  /** Turns a GGUF file into a Hugging Face folder, for peers that read no GGUF. */
  void unpack(Peer peer, Path source, Path folder) throws AbsentException, IOException {
    Path script = home.resolve("python/hf_folder.py");
    String file = source.toAbsolutePath().toString();
    String version =
        String.join(
            "\n", file, Files.getLastModifiedTime(source).toString(), Files.readString(script));
    if (!isInstalled(folder, version)) {
      String python = ggufReader(peer);
      say(peer, "turning %s into a folder that it reads".formatted(source.getFileName()));
      run(emptied(folder), Map.of(), List.of(python, script.toString(), file, folder.toString()));
      markInstalled(folder, version);
    }
  }

  /** The Python that has the package which reads GGUF files. */
  private String ggufReader(Peer peer) throws AbsentException, IOException {
    Path folder = home.resolve("build").resolve("gguf");
    if (!isInstalled(folder, GGUF_READER)) {
      say(peer, GGUF_READER);
      Path log = emptied(folder);
      run(log, Map.of(), List.of("python3", "-m", "venv", folder.toString()));
      run(log, Map.of(), List.of(folder + "/bin/pip", "install", GGUF_READER));
      markInstalled(folder, GGUF_READER);
    }
    return folder + "/bin/python";
  }

  private Launch python(Peer peer, String name, String version, String module)
      throws AbsentException, IOException {
    Path folder = home.resolve("build").resolve(peer.id() + (prebuilt ? "-prebuilt" : ""));
    String requirement = name + "==" + version;
    if (!isInstalled(folder, requirement)) {
      say(
          peer,
          prebuilt
              ? requirement
              : "compiling %s: some ten minutes on two cores".formatted(requirement));
      Path log = emptied(folder);
      run(log, Map.of(), List.of("python3", "-m", "venv", folder.toString()));
      String pip = folder + "/bin/pip";
      if (prebuilt) {
        run(log, Map.of(), List.of(pip, "install", requirement));
      } else if (peer == Peer.IK_LLAMA_CPP) {
        run(log, Map.of(), List.of(pip, "install", "--only-binary", name, requirement));
        compileLibraries(log, folder, name, requirement, module);
      } else {
        run(
            log,
            Map.of("CMAKE_ARGS", NATIVE),
            List.of(pip, "install", "--no-binary", name, requirement));
      }
      markInstalled(folder, requirement);
    }
    return new Launch(
        List.of(folder + "/bin/python", home.resolve("python/peer.py").toString(), module));
  }

  /**
   * Compiles the two libraries that the package's binary brings and puts them in their place. Its
   * sources lack what the rest of a build needs.
   */
  private void compileLibraries(
      Path log, Path folder, String name, String requirement, String module)
      throws AbsentException, IOException {
    Path sources = Files.createDirectories(folder.resolve("sources"));
    Path compiled = folder.resolve("compiled");
    run(
        log,
        Map.of(),
        List.of(
            folder + "/bin/pip",
            "download",
            "--no-deps",
            "--no-binary",
            name,
            "--dest",
            sources.toString(),
            requirement));
    Path archive = only(sources, ".*\\.tar\\.gz");
    run(log, Map.of(), List.of("tar", "xzf", archive.toString(), "-C", sources.toString()));
    List<String> configure =
        new ArrayList<>(
            List.of(
                "cmake",
                "-S",
                only(sources, ".*/vendor/ik_llama\\.cpp").toString(),
                "-B",
                compiled.toString(),
                NATIVE,
                "-DCMAKE_BUILD_TYPE=Release",
                "-DBUILD_SHARED_LIBS=ON"));
    for (String part : List.of("TESTS", "EXAMPLES", "SERVER")) {
      configure.add("-DLLAMA_BUILD_%s=OFF".formatted(part));
    }
    run(log, Map.of(), configure);
    run(
        log,
        Map.of(),
        List.of(
            "cmake",
            "--build",
            compiled.toString(),
            "--parallel",
            Integer.toString(Runtime.getRuntime().availableProcessors()),
            "--target",
            "ggml",
            "llama"));
    for (String library : List.of("libggml.so", "libllama.so")) {
      Files.copy(
          only(compiled, ".*/" + library),
          only(folder.resolve("lib"), ".*/%s/lib/%s".formatted(module, library)),
          StandardCopyOption.REPLACE_EXISTING);
    }
  }

  /** The one file or folder below {@code folder} whose path matches. */
  private static Path only(Path folder, String pattern) throws AbsentException, IOException {
    try (var files = Files.walk(folder)) {
      List<Path> found = files.filter(file -> file.toString().matches(pattern)).toList();
      if (found.size() != 1) {
        throw new AbsentException(
            "%s has %d files like %s, not 1".formatted(folder, found.size(), pattern));
      }
      return found.get(0);
    }
  }

  private Launch node(Peer peer) throws AbsentException, IOException {
    Path folder = home.resolve("build").resolve(peer.id());
    List<String> files = List.of("package.json", "package-lock.json");
    String lock = Files.readString(home.resolve("node/package-lock.json"));
    if (!isInstalled(folder, lock)) {
      say(peer, "packages from npm");
      Path log = emptied(folder);
      for (String file : files) {
        Files.copy(home.resolve("node").resolve(file), folder.resolve(file));
      }
      run(
          log,
          Map.of(),
          List.of(
              "npm",
              "install",
              "--prefix",
              folder.toString(),
              "--no-save",
              "--ignore-scripts",
              "--omit=optional"));
      markInstalled(folder, lock);
    }
    Path script = folder.resolve("peer.mjs"); // Node looks for packages beside it
    Files.copy(home.resolve("node/peer.mjs"), script, StandardCopyOption.REPLACE_EXISTING);
    return new Launch(List.of("node", script.toString()));
  }

  /** A source file that the JVM compiles as it starts, with the libraries of the pom beside it. */
  private Launch java(Peer peer, Jdk jdk, String source, List<String> options)
      throws AbsentException, IOException {
    Path folder = home.resolve("build").resolve(peer.id());
    Path file = home.resolve(source);
    Path pom = file.resolveSibling("pom.xml");
    String version = Files.readString(pom);
    if (!isInstalled(folder, version)) {
      say(peer, "libraries from Maven Central");
      run(
          emptied(folder),
          Map.of(),
          List.of(
              "mvn",
              "-B",
              "-ntp",
              "-f",
              pom.toString(),
              "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies",
              "-DoutputDirectory=" + folder));
      markInstalled(folder, version);
    }
    List<String> command = new ArrayList<>(List.of(jdk.java()));
    command.addAll(options);
    command.addAll(List.of("-cp", folder + "/*" + File.pathSeparator + protocol()));
    command.add(file.toString());
    return new Launch(command);
  }

  /** Of this class path what {@link PeerMain} needs: the peers' own libraries come before it. */
  private static String protocol() {
    return Arrays.stream(System.getProperty("java.class.path").split(File.pathSeparator))
        .filter(entry -> entry.matches(".*/(peers\\.jar|jackson-[^/]*)"))
        .collect(Collectors.joining(File.pathSeparator));
  }

  private static boolean isInstalled(Path folder, String version) throws IOException {
    Path mark = folder.resolve("installed");
    return Files.exists(mark) && Files.readString(mark).equals(version);
  }

  private static void markInstalled(Path folder, String version) throws IOException {
    Files.writeString(folder.resolve("installed"), version);
  }

  /** Returns the log that belongs into the folder's stead. */
  private Path emptied(Path folder) throws IOException {
    if (Files.exists(folder)) {
      try (var files = Files.walk(folder)) {
        for (Path file : files.sorted((a, b) -> b.compareTo(a)).toList()) {
          Files.delete(file);
        }
      }
    }
    Files.createDirectories(folder);
    Path log = folder.resolveSibling(folder.getFileName() + ".log");
    Files.deleteIfExists(log);
    return log;
  }

  private void run(Path log, Map<String, String> environment, List<String> command)
      throws AbsentException, IOException {
    ProcessBuilder builder =
        new ProcessBuilder(command)
            .redirectErrorStream(true)
            .redirectOutput(ProcessBuilder.Redirect.appendTo(log.toFile()));
    builder.environment().putAll(environment);
    int status;
    try {
      status = children.waitFor(children.start(builder));
    } catch (IOException e) {
      throw new AbsentException("'%s' cannot be run: %s".formatted(command.get(0), e.getMessage()));
    }
    if (status != 0) {
      throw new AbsentException(
          "'%s' failed: %s; all of it is in %s"
              .formatted(String.join(" ", command), LogFile.errorLine(log), log));
    }
  }

  private void say(Peer peer, String what) {
    progress.accept("%s: %s".formatted(peer.id(), what));
  }
}
