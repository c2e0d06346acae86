# Warnings are errors everywhere; sanitizers by MLA_SANITIZE.
function(mla_strict target)
  target_compile_options(${target} PRIVATE -Wall -Wextra -Wshadow -Wnon-virtual-dtor -Werror)
  if(MLA_SANITIZE)
    target_compile_options(${target} PRIVATE -fsanitize=${MLA_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all -g)
    target_link_options(${target} PUBLIC -fsanitize=${MLA_SANITIZE})
  endif()
endfunction()
