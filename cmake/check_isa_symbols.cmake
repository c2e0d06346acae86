# cmake -DNM=... -DOBJECTS=a.o;b.o -P check_isa_symbols.cmake
# An inline function that a file with extra instructions emits is a weak symbol, and the linker may pick that copy for
# every caller: the program would crash on an older processor. So such a file must define none.
foreach(object ${OBJECTS})
  if(object MATCHES "/(x86|arm64)_[a-z0-9_]+\\.cc\\.o$")
    execute_process(COMMAND ${NM} -C --defined-only ${object} OUTPUT_VARIABLE symbols COMMAND_ERROR_IS_FATAL ANY)
    string(REGEX MATCHALL "[^\n]* W [^\n]*" weak "${symbols}")
    foreach(symbol ${weak})
      message(SEND_ERROR "${object} defines a weak symbol: ${symbol}")
    endforeach()
    math(EXPR checked "${checked} + 1")
  endif()
endforeach()
if(NOT checked)
  message(FATAL_ERROR "no object with instructions of its own among: ${OBJECTS}")
endif()
message(STATUS "${checked} objects checked")
