// Fills in what the code of the label says. It stands behind the # of the address, which no browser sends, and is taken out
// of it at once, so that it stays in no list of visited pages.
"use strict";
(() => {
  const [account, password] = location.hash.slice(1).split(":");
  if (!account || !password) return;
  history.replaceState(null, "", location.pathname);
  document.getElementById("account").value = account;
  document.getElementById("password").value = password;
  document.querySelector("main button").focus();
})();
